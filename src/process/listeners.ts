import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { ENDPOINTS } from '../api/endpoints.ts'
import { metricsEndpoint } from '../api/metrics/metrics.ts'
import { forwardedEndpoints, HttpForwarder } from '../api/replication/http-forward.ts'
import type { ClientContext } from '../api/client/context.ts'
import type { Config } from '../config/config.ts'
import type { ListenerConfig } from '../config/listeners.ts'
import { hasSecret } from '../config/topology.ts'
import type { Topology } from '../config/topology.ts'
import { HttpServer } from '../http/http-server.ts'
import type { ListenAddress } from '../http/http-server.ts'
import type { Endpoint, ListenerResource } from '../http/endpoint.ts'
import { rendezvousOrder } from '../replication/rendezvous.ts'
import type { Logger } from '../util/logger.ts'
import { resourceRole } from './assemble-cluster.ts'
import { bindMetrics } from './metrics.ts'
import type { Observed } from './metrics.ts'
import { RequestCounters } from './metrics-requests.ts'

/** Which resources a configured name brings along, as in Synapse: `client` also answers media, static pages and the well-known files. */
const IMPLIED_RESOURCES: Readonly<Record<string, readonly ListenerResource[]>> = {
  client: ['media', 'static'],
  federation: ['media', 'keys', 'openid'],
}

/** What no process offers to another one's clients: it is for processes and administrators of this machine. */
const PRIVATE_RESOURCES: ReadonlySet<string> = new Set(['replication', 'metrics', 'health'])

export interface OpenListeners {
  readonly addresses: readonly string[]
  close(): Promise<void>
}

/** Opens every HTTP listener of this process. Each serves the endpoints of its resources, and /health. */
export async function openListeners(deps: {
  readonly config: Config
  readonly logger: Logger
  readonly topology: Topology
  readonly observed: Observed
  readonly context: ClientContext
}): Promise<OpenListeners> {
  const { config, logger, topology, context, observed } = deps
  const forwarder = makeForwarder(deps)
  const requests = new RequestCounters()
  const servers: HttpServer<ClientContext>[] = []
  const { enableMetrics } = config.users
  const { forwarded } = forwarder
  const openRequests = (): number => servers.reduce((sum, server) => sum + server.openRequests, 0)
  const metrics = enableMetrics ? metricsEndpoint(bindMetrics({ ...observed, requests, forwarded, openRequests })) : undefined
  const endpointsOf = makeEndpointChoice({ ...deps, forwarder, metrics })
  const addresses: string[] = []
  const close = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.close()))
  }
  try {
    for (const listener of topology.listeners) {
      if (listener.type === 'metrics' && !enableMetrics) {
        logger.warn('a listener for metrics stays closed: enable_metrics is off', { listener: listener.tag })
        continue
      }
      for (const address of addressesOf(listener)) {
        const server = new HttpServer(
          {
            isForwarded: listener.xForwarded,
            ...(listener.tls ? { tls: readCertificate(config) } : {}),
            instance: topology.instance,
            compressedResources: compressedResourcesOf(listener),
            ...(listener.requestIdHeader === undefined ? {} : { requestIdHeader: listener.requestIdHeader }),
            onFinished(info) {
              requests.count(info)
              logger.debug('request', { ...info, listener: listener.tag })
            },
            onInternalError: (error, info) => logger.error('a request failed', { ...info, error }),
          },
          endpointsOf(listener),
          context,
        )
        addresses.push(await server.listen(address))
        servers.push(server)
      }
    }
  } catch (error) {
    await close()
    throw error
  }
  return { addresses, close }
}

/** The resources whose endpoints this process serves on any of its listeners. */
export function listServedResources(topology: Topology): string[] {
  const names = new Set(topology.listeners.flatMap((listener) => [...resourcesOf(listener)]))
  if (!topology.servesMedia) names.delete('media')
  return [...names]
}

function makeForwarder({ config, observed: { cluster } }: { config: Config; observed: Observed }): HttpForwarder {
  return new HttpForwarder({
    requester: cluster.rpcClient,
    secret: forwardingSecret(config),
    targetsOf({ operationId, resource }) {
      const able = cluster.members
        .live()
        .filter((member) => !member.isDraining && member.url !== undefined && member.roles.includes(resourceRole(resource)))
      return rendezvousOrder(
        operationId,
        able.map(({ instance }) => instance),
      )
    },
  })
}

/** Without a secret, the replication listener is for this machine only; then that is the proof. */
function forwardingSecret({ workers }: Config): string {
  return hasSecret(workers) ? (workers.workerReplicationSecret ?? '') : ''
}

/**
 * Chooses what a listener answers. What this process serves on none of its listeners is handed to one that does; what it serves
 * on another of its listeners is left out on purpose.
 */
function makeEndpointChoice(deps: {
  readonly config: Config
  readonly topology: Topology
  readonly observed: Observed
  readonly forwarder: HttpForwarder
  /** Undefined: `enable_metrics` is off. */
  readonly metrics: Endpoint<unknown> | undefined
}): (listener: ListenerConfig) => Endpoint<ClientContext>[] {
  const { config, topology, forwarder, metrics } = deps
  const { rpcServer } = deps.observed.cluster
  const served = new Set(listServedResources(topology))
  const own = ENDPOINTS.filter((endpoint) => served.has(endpoint.resource))
  return (listener: ListenerConfig): Endpoint<ClientContext>[] => {
    const names = resourcesOf(listener)
    const isPublic = [...names].some((name) => !PRIVATE_RESOURCES.has(name))
    return [
      ...ENDPOINTS.flatMap((endpoint) => {
        if (names.has(endpoint.resource) && served.has(endpoint.resource)) return [endpoint]
        return isPublic && !topology.isMonolith && !served.has(endpoint.resource) ? [forwarder.wrap(endpoint)] : []
      }),
      ...(names.has('replication') ? [...rpcServer.endpoints, ...forwardedEndpoints(own, forwardingSecret(config))] : []),
      ...(names.has('metrics') && metrics !== undefined ? [metrics] : []),
      HEALTH,
    ]
  }
}

const HEALTH: Endpoint<ClientContext> = {
  operationId: 'health',
  method: 'GET',
  paths: ['/health'],
  resource: 'health',
  group: 'server',
  run: () => Promise.resolve({ status: 200, contentType: 'text/plain', body: 'OK' }),
}

function resourcesOf(listener: ListenerConfig): ReadonlySet<string> {
  return new Set<string>(
    listener.resources.flatMap((resource) => resource.names.flatMap((name) => [name, ...(IMPLIED_RESOURCES[name] ?? [])])),
  )
}

function compressedResourcesOf({ resources }: ListenerConfig): ReadonlySet<ListenerResource> {
  return new Set(
    resources
      .filter(({ compress }) => compress)
      .flatMap(({ names }) => names.flatMap((name) => [name, ...(IMPLIED_RESOURCES[name] ?? [])])),
  )
}

function addressesOf(listener: ListenerConfig): ListenAddress[] {
  if (listener.path !== undefined) return [{ path: listener.path, mode: listener.mode }]
  // On all addresses, or all of this machine, means: on those that there are. Many containers have no IPv6.
  const chosen = hasIpv6()
    ? listener.bindAddresses
    : listener.bindAddresses.filter((address) => address !== '::' && address !== '::1')
  return (chosen.length > 0 ? chosen : listener.bindAddresses).map((host) => ({ host, port: listener.port ?? 0 }))
}

function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ family }) => family === 'IPv6'))
}

function readCertificate(config: Config): { cert: Buffer; key: Buffer } {
  const { tlsCertificatePath, tlsPrivateKeyPath } = config.tls
  if (tlsCertificatePath === undefined || tlsPrivateKeyPath === undefined) {
    throw new Error('A listener has tls: true, but tls_certificate_path or tls_private_key_path is not set')
  }
  return { cert: readFileSync(tlsCertificatePath), key: readFileSync(tlsPrivateKeyPath) }
}
