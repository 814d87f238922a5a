import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { ENDPOINTS } from '../api/endpoints.ts'
import type { ClientContext } from '../api/client/context.ts'
import type { Config } from '../config/config.ts'
import type { ListenerConfig } from '../config/listeners.ts'
import { describeTopology } from '../config/topology.ts'
import { HttpServer } from '../http/http-server.ts'
import type { ListenAddress } from '../http/http-server.ts'
import type { Endpoint } from '../http/endpoint.ts'
import type { Logger } from '../util/logger.ts'

/** Which resources a configured name brings along, as in Synapse: `client` also answers media, static pages and the well-known files. */
const IMPLIED_RESOURCES: Readonly<Record<string, readonly string[]>> = {
  client: ['media', 'static'],
  federation: ['media', 'keys', 'openid'],
}

export interface OpenListeners {
  readonly addresses: readonly string[]
  close(): Promise<void>
}

/** Opens every HTTP listener of this process. Each serves the endpoints of its resources, and /health. */
export async function openListeners(deps: { config: Config; logger: Logger; context: ClientContext }): Promise<OpenListeners> {
  const { config, logger, context } = deps
  const topology = describeTopology(config)
  const servers: HttpServer<ClientContext>[] = []
  const addresses: string[] = []
  const close = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.close()))
  }
  try {
    for (const listener of topology.listeners) {
      if (listener.type !== 'http') continue
      const endpoints = [...endpointsOf(listener).filter((it) => topology.servesMedia || it.resource !== 'media'), HEALTH]
      for (const address of addressesOf(listener)) {
        const server = new HttpServer(
          {
            isForwarded: listener.xForwarded,
            ...(listener.tls ? { tls: readCertificate(config) } : {}),
            onFinished: (info) => logger.debug('request', { ...info, listener: listener.tag }),
            onInternalError: (error, info) => logger.error('a request failed', { ...info, error }),
          },
          endpoints,
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

const HEALTH: Endpoint<ClientContext> = {
  operationId: 'health',
  method: 'GET',
  paths: ['/health'],
  resource: 'health',
  group: 'server',
  run: () => Promise.resolve({ status: 200, contentType: 'text/plain', body: 'OK' }),
}

function endpointsOf(listener: ListenerConfig): readonly Endpoint<ClientContext>[] {
  const names = new Set<string>(
    listener.resources.flatMap((resource) => resource.names.flatMap((name) => [name, ...(IMPLIED_RESOURCES[name] ?? [])])),
  )
  return ENDPOINTS.filter((endpoint) => names.has(endpoint.resource))
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
