import { isIP } from 'node:net'
import type { ServerName } from '../../protocol/ids.ts'
import type { SrvTarget } from './srv-lookup.ts'

const DEFAULT_PORT = 8448

/** Where to reach a server, and what to say there. */
export interface ServerAddress {
  /** A host name, or an IP address without brackets. */
  readonly host: string
  readonly port: number
  /** The `Host` header. Its host part is the name that the certificate must be for. */
  readonly hostHeader: string
}

/** The delegation that a server publishes, if any. */
export interface WellKnownDelegation {
  lookup(hostname: string): Promise<ServerName | undefined>
}

/** SRV records by name. */
export interface SrvRecords {
  lookup(name: string): Promise<readonly SrvTarget[]>
}

/** Finds where a server name leads to. Spec: server-server-api § Resolving server names; the steps carry its numbers. */
export class ServerDiscovery {
  readonly #wellKnown: WellKnownDelegation
  readonly #srv: SrvRecords

  constructor(deps: { wellKnown: WellKnownDelegation; srv: SrvRecords }) {
    this.#wellKnown = deps.wellKnown
    this.#srv = deps.srv
  }

  /** Returns the addresses in the order to try them; at least one. */
  async resolve(serverName: ServerName): Promise<readonly [ServerAddress, ...ServerAddress[]]> {
    const { host, port } = splitServerName(serverName)
    // Steps 1 and 2.
    const plain = plainAddress(serverName)
    if (plain) return [plain]
    if (port !== undefined) return [{ host, port, hostHeader: serverName }]
    // Step 3, and 3.1 to 3.5.
    const delegated = await this.#wellKnown.lookup(host)
    if (delegated === undefined) return this.#resolveBySrv(serverName)
    return this.#resolveDelegated(delegated)
  }

  async #resolveDelegated(delegated: ServerName): Promise<readonly [ServerAddress, ...ServerAddress[]]> {
    const { host, port } = splitServerName(delegated)
    const plain = plainAddress(delegated)
    if (plain) return [plain]
    if (port !== undefined) return [{ host, port, hostHeader: delegated }]
    return this.#resolveBySrv(delegated)
  }

  /** Steps 3.3 to 3.5 and 4 to 6: the new records, then the deprecated ones, then the host itself. */
  async #resolveBySrv(hostname: ServerName): Promise<readonly [ServerAddress, ...ServerAddress[]]> {
    for (const service of ['_matrix-fed._tcp', '_matrix._tcp']) {
      const targets = await this.#srv.lookup(`${service}.${hostname}`)
      const [first, ...others] = targets.map(({ host, port }) => ({ host, port, hostHeader: hostname }))
      if (first) return [first, ...others]
    }
    return [{ host: hostname, port: DEFAULT_PORT, hostHeader: hostname }]
  }
}

function plainAddress(serverName: ServerName): ServerAddress | undefined {
  const { host, port } = splitServerName(serverName)
  return isIP(host) === 0 ? undefined : { host, port: port ?? DEFAULT_PORT, hostHeader: serverName }
}

/** Parts a valid server name; the host of an IPv6 literal comes without brackets. Spec: appendices § Server Name. */
export function splitServerName(serverName: ServerName): { readonly host: string; readonly port: number | undefined } {
  const [, literal, name = '', port] = /^(?:\[(.*)\]|([^:]*))(?::([0-9]+))?$/.exec(serverName) ?? []
  return { host: literal ?? name, port: port === undefined ? undefined : Number(port) }
}
