import { clientEndpoint } from '../client-endpoint.ts'

/** The spec versions that are served. */
const VERSIONS = [
  'r0.0.1',
  'r0.1.0',
  'r0.2.0',
  'r0.3.0',
  'r0.4.0',
  'r0.5.0',
  'r0.6.0',
  'r0.6.1',
  'v1.1',
  'v1.2',
  'v1.3',
  'v1.4',
  'v1.5',
  'v1.6',
  'v1.7',
  'v1.8',
  'v1.9',
  'v1.10',
  'v1.11',
  'v1.12',
  'v1.13',
  'v1.14',
  'v1.15',
  'v1.16',
  'v1.17',
  'v1.18',
  'v1.19',
]

/** Lists the spec versions and unstable features. Spec: versions.yaml. */
export const getVersions = clientEndpoint({
  operationId: 'getVersions',
  method: 'GET',
  path: '/_matrix/client/versions',
  group: 'server',
  auth: 'optional',
  async handler(_input, { config: { experimental }, delayedEvents }) {
    return {
      versions: VERSIONS,
      unstable_features: {
        'org.matrix.label_based_filtering': true,
        'org.matrix.e2e_cross_signing': true,
        'org.matrix.msc2432': true,
        'org.matrix.msc3440.stable': true,
        'org.matrix.msc3771': true,
        'org.matrix.msc3773': true,
        'org.matrix.msc2285.stable': true,
        'org.matrix.msc3827.stable': true,
        'org.matrix.msc3981': true,
        'org.matrix.msc3814': true,
        'org.matrix.simplified_msc3575': true,
        'uk.tcpip.msc4133.stable': true,
        'org.matrix.msc3391': experimental['msc3391_enabled'] === true,
        'org.matrix.msc3890': experimental['msc3890_enabled'] === true,
        'org.matrix.msc4140': delayedEvents.isEnabled,
        'org.matrix.msc4155': experimental['msc4155_enabled'] === true,
      },
    }
  },
})
