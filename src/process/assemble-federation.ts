import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { RpcFederationRelay, serveFederationRequests } from '../api/replication/federation-request.ts'
import { IpRanges } from '../http/ip-ranges.ts'
import { OutgoingClient } from '../http/outgoing-client.ts'
import type { ServerName } from '../protocol/ids.ts'
import { parseSigningKeys } from '../protocol/signing-key.ts'
import type { SigningKey } from '../protocol/signing-key.ts'
import { DestinationBackoff } from '../services/federation/destination-backoff.ts'
import { FederationAuthenticator } from '../services/federation/federation-authenticator.ts'
import { FederationClient } from '../services/federation/federation-client.ts'
import { makeFederationTls } from '../services/federation/federation-tls.ts'
import { KeyFetcher } from '../services/federation/key-fetcher.ts'
import { KeyNotary } from '../services/federation/key-notary.ts'
import { KeyRing } from '../services/federation/key-ring.ts'
import { OwnKeys } from '../services/federation/own-keys.ts'
import { ServerDiscovery } from '../services/federation/server-discovery.ts'
import { makeSrvResolver, SrvLookup } from '../services/federation/srv-lookup.ts'
import { WellKnownLookup } from '../services/federation/well-known-lookup.ts'
import type { CacheInvalidation } from '../streams/cache-invalidation.ts'
import { OperatorError } from '../util/operator-error.ts'
import { readVersion } from '../util/version.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'

/** Talking to other servers: whom, how, and whether it is really them. */
export interface FederationServices {
  readonly federationClient: FederationClient
  readonly destinationBackoff: DestinationBackoff
  readonly keyRing: KeyRing
  readonly federationAuthenticator: FederationAuthenticator
  readonly ownKeys: OwnKeys
  readonly keyNotary: KeyNotary
  /** `federation_domain_whitelist`. */
  isServerAllowed(serverName: ServerName): boolean
  stop(): Promise<void>
}

/** Wires what talks to other servers. */
export function assembleFederation(
  core: Core,
  deps: { readonly caches: CacheInvalidation; readonly cluster: Cluster },
): FederationServices {
  const { config, database, clock, random, serverName, signingKey, signingKeys, background } = core
  const options = config.federation
  const tls = makeFederationTls(options)
  const outgoing = new OutgoingClient({
    ranges: new IpRanges({
      blacklist: options.federationIpRangeBlacklist ?? config.server.ipRangeBlacklist,
      whitelist: config.server.ipRangeWhitelist,
    }),
    userAgent: ['Ganglion/' + readVersion(), config.server.userAgentSuffix].filter((part) => part !== undefined).join(' '),
    secureContext: tls.secureContext,
  })
  const { isCertificateIgnored } = tls
  const discovery = new ServerDiscovery({
    wellKnown: new WellKnownLookup({ requests: outgoing, clock, isCertificateIgnored }),
    srv: new SrvLookup({ resolve: makeSrvResolver(), clock, random }),
  })
  const backoff = new DestinationBackoff({ database, caches: deps.caches, clock, random, config: options.federation })
  const isAllowed = makeWhitelist(options.federationDomainWhitelist, serverName)
  const federationClient = new FederationClient({
    serverName,
    signingKey,
    outgoing,
    discovery,
    backoff,
    clock,
    config: options.federation,
    isAllowed,
    isCertificateIgnored,
    relay: makeRelay(deps.cluster),
  })
  serveFederationRequests(deps.cluster.rpcServer, federationClient)
  const fetcher = new KeyFetcher({
    requests: federationClient,
    clock,
    serverName,
    trustedKeyServers: config.keys.trustedKeyServers,
    verifiesCertificates: options.federationVerifyCertificates,
  })
  const ownKeys = new OwnKeys({ serverName, signingKeys, config: config.keys, clock })
  const logger = core.logger.child('federation')
  const keyRing = new KeyRing({ database, fetcher, logger, serverName, ownKeys: ownKeys.verifyKeys() })
  const notaryKeys = [...signingKeys, ...readNotaryKeys(config.keys.keyServerSigningKeysPath, config.directory)]
  return {
    federationClient,
    destinationBackoff: backoff,
    keyRing,
    federationAuthenticator: new FederationAuthenticator({ serverName, keyRing, backoff, clock, background, isAllowed }),
    ownKeys,
    keyNotary: new KeyNotary({ database, fetcher, ownKeys, serverName, signingKeys: notaryKeys, clock }),
    isServerAllowed: isAllowed,
    stop: () => outgoing[Symbol.asyncDispose](),
  }
}

/** Who makes this process's requests to other servers, where it may not (option outbound_federation_restricted_to). */
function makeRelay({ topology, members, rpcClient: rpc }: Cluster): RpcFederationRelay | undefined {
  const via = topology.outboundFederationVia
  if (via === undefined || via.includes(topology.instance)) return undefined
  const candidates = (): readonly string[] => {
    const live = via.filter((instance) => members.isLive(instance))
    return live.length > 0 ? live : via
  }
  return new RpcFederationRelay({ rpc, candidates })
}

function makeWhitelist(whitelist: readonly string[] | undefined, own: ServerName): (serverName: ServerName) => boolean {
  if (whitelist === undefined) return () => true
  const allowed = new Set<string>([...whitelist, own])
  return (serverName) => allowed.has(serverName)
}

function readNotaryKeys(path: string | undefined, directory: string): readonly SigningKey[] {
  if (path === undefined) return []
  try {
    return parseSigningKeys(readFileSync(resolve(directory, path), 'utf8'))
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new OperatorError(`key_server_signing_keys_path: ${reason}`, { cause })
  }
}
