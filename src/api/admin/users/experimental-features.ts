import { parseUserId } from '../../../protocol/ids.ts'
import { MatrixError } from '../../../protocol/errors.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../../client/client-endpoint.ts'

const PATH = '/_synapse/admin/v1/experimental_features/:userId'
/** What Synapse lets administrators switch. Here everybody has what is built of it: the answer is kept, and changes nothing else. */
const FEATURES = ['msc3881', 'msc3575', 'msc4222']
const params = Type.Object({ userId: Type.String() })

/** Tells which features are switched on for a user. Errors: M_FORBIDDEN, M_NOT_FOUND. Source: Synapse docs/admin_api/experimental_features.md. */
export const getExperimentalFeatures = clientEndpoint({
  operationId: 'admin.getExperimentalFeatures',
  method: 'GET',
  path: PATH,
  group: 'admin',
  auth: 'admin',
  params,
  async handler({ params: { userId } }, ctx) {
    const { userId: known } = await ctx.adminAccounts.get(parseUserId(userId))
    const switched = await ctx.accountFacts.getFeatures(known)
    return { features: Object.fromEntries(FEATURES.map((feature) => [feature, switched.get(feature) ?? false])) }
  },
})

/** Switches features for a user. Errors: M_FORBIDDEN, M_NOT_FOUND, M_UNKNOWN, M_BAD_JSON. As Synapse. */
export const putExperimentalFeatures = clientEndpoint({
  operationId: 'admin.putExperimentalFeatures',
  method: 'PUT',
  path: PATH,
  group: 'admin',
  auth: 'admin',
  params,
  body: Type.Object({ features: Type.Record(Type.String(), Type.Boolean()) }),
  async handler({ params: { userId }, body: { features } }, ctx) {
    const { userId: known } = await ctx.adminAccounts.get(parseUserId(userId))
    const odd = Object.keys(features).find((feature) => !FEATURES.includes(feature))
    if (odd !== undefined)
      throw new MatrixError('M_UNKNOWN', `${JSON.stringify(odd)} is not recognised as a valid experimental feature`, {
        status: 400,
      })
    await ctx.accountFacts.setFeatures(known, features)
    return {}
  },
})
