import { lookup } from 'node:dns/promises'
import type { Socket } from 'node:net'
import { isIP } from 'node:net'
import type { SecureContext, TLSSocket } from 'node:tls'
import { buildConnector } from 'undici'
import { within } from '../util/within.ts'
import type { IpRanges } from './ip-ranges.ts'
import { OutgoingRequestError } from './outgoing-errors.ts'

const LOOKUP_TIMEOUT_MS = 10_000
const CONNECT_TIMEOUT_MS = 10_000
/** Of a host with many addresses, so many are tried. */
const ADDRESSES_MAX = 4

/** Finds the addresses of a host name. Throws where there are none. */
export type ResolveAddresses = (host: string) => Promise<readonly string[]>

/** Which certificates are believed, and which versions are spoken. Asked for when first needed. */
export type MakeSecureContext = () => SecureContext

/** What a connection leads to. */
export interface Route {
  readonly isTls: boolean
  /** A host name or an IP address without brackets. */
  readonly host: string
  readonly port: number
  /** The name or address that the certificate must be for, and that is asked for by SNI. */
  readonly tlsName: string
  readonly isCertificateVerified: boolean
}

/** Asks the system: its hosts file, then DNS. */
export async function resolveAddresses(host: string): Promise<readonly string[]> {
  const addresses = await within(lookup(host, { all: true }), LOOKUP_TIMEOUT_MS, `Looking up ${host}`)
  return addresses.map(({ address }) => address)
}

/**
 * Makes what opens the connections of one route: resolves once, checks every address, and connects to the very address that was
 * checked, so that a name which changes its mind (DNS rebinding) gains nothing. The first address that answers is taken.
 */
export function makeConnector(
  route: Route,
  deps: { readonly ranges: IpRanges; readonly secureContext: MakeSecureContext | undefined; readonly resolve: ResolveAddresses },
): buildConnector.connector {
  const open = buildConnector({
    allowH2: false,
    timeout: CONNECT_TIMEOUT_MS,
    rejectUnauthorized: route.isCertificateVerified,
    ...(deps.secureContext === undefined || !route.isTls ? {} : { secureContext: deps.secureContext() }),
  })
  const attempt = (address: string): Promise<Socket | TLSSocket> =>
    new Promise((resolve, reject) => {
      const options = {
        hostname: address,
        protocol: route.isTls ? 'https:' : 'http:',
        port: String(route.port),
        // No SNI for IP addresses: the certificate is checked against the address then, which is the one connected to.
        ...(route.isTls && isIP(route.tlsName) === 0 ? { servername: route.tlsName } : {}),
      }
      open(options, (error, socket) => (socket === null || socket === undefined ? reject(error as Error) : resolve(socket)))
    })
  const connect = async (): Promise<Socket | TLSSocket> => {
    let last: unknown
    for (const address of await findAllowedAddresses(route.host, deps)) {
      try {
        return await attempt(address)
      } catch (error) {
        last = error
      }
    }
    throw unreachable(route, last)
  }
  return (_options, callback) => void settle(connect(), callback)
}

async function settle(connecting: Promise<Socket | TLSSocket>, callback: buildConnector.Callback): Promise<void> {
  let socket: Socket | TLSSocket
  try {
    socket = await connecting
  } catch (error) {
    callback(error as Error, null)
    return
  }
  callback(null, socket)
}

async function findAllowedAddresses(
  host: string,
  deps: { readonly ranges: IpRanges; readonly resolve: ResolveAddresses },
): Promise<readonly string[]> {
  // A literal never passes through name resolution, so it would never be checked there.
  const addresses = isIP(host) === 0 ? await resolveHost(host, deps.resolve) : [host]
  const allowed = addresses.filter((address) => deps.ranges.isAllowed(address))
  if (allowed.length === 0) {
    throw new OutgoingRequestError('blocked', `${host} has no address that may be connected to`, { wasSent: false })
  }
  return allowed.slice(0, ADDRESSES_MAX)
}

async function resolveHost(host: string, resolve: ResolveAddresses): Promise<readonly string[]> {
  try {
    return await resolve(host)
  } catch (cause) {
    throw new OutgoingRequestError('unreachable', `There is no address for ${host}`, { wasSent: false, cause })
  }
}

function unreachable(route: Route, cause: unknown): OutgoingRequestError {
  const reason = cause instanceof Error ? cause.message : 'no address'
  return new OutgoingRequestError('unreachable', `Cannot connect to ${route.host}:${route.port}: ${reason}`, {
    wasSent: false,
    cause,
  })
}
