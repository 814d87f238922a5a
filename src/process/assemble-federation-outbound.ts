import { Destinations } from '../services/federation/outbound/destinations.ts'
import { DeviceListRouter } from '../services/federation/outbound/device-list-router.ts'
import { EphemeralRouter } from '../services/federation/outbound/ephemeral-router.ts'
import { EventRecipients } from '../services/federation/outbound/event-recipients.ts'
import { EventRouter } from '../services/federation/outbound/event-router.ts'
import { FederationSenders, SENDER_SHARDS } from '../services/federation/outbound/federation-senders.ts'
import { OutgoingTransactions } from '../services/federation/outbound/outgoing-transactions.ts'
import { RemoteReads } from '../services/federation/outbound/remote-reads.ts'
import type { Profiles } from '../services/user-data/profiles.ts'
import type { Logger } from '../util/logger.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'
import type { EncryptionServices } from './assemble-encryption.ts'
import type { FederationServices } from './assemble-federation.ts'

/** Sending to other servers. */
export interface FederationOutboundServices {
  /** What answers clients and administrators. */
  readonly client: { readonly destinations: Destinations; readonly remoteReads: RemoteReads }
  stop(): void
}

interface FederationOutboundDeps {
  readonly cluster: Cluster
  readonly federation: FederationServices
  readonly encryption: EncryptionServices
  readonly profiles: Profiles
}

/**
 * Wires what sends to other servers. Two roles, both where `federation_sender` is configured: `federation_router` decides who gets what,
 * `federation_sender` sends it, in parts by destination.
 */
export function assembleFederationOutbound(core: Core, deps: FederationOutboundDeps): FederationOutboundServices {
  const { config, database, hub, clock, random, memberships, serverName, background } = core
  const { cluster, federation } = deps
  const backoff = federation.destinationBackoff
  const logger = core.logger.child('federation.sender')
  const recipients = new EventRecipients({ database, hub, memberships, serverName, isAllowed: federation.isServerAllowed })
  const senders = new FederationSenders({
    database,
    serverName,
    client: federation.federationClient,
    backoff,
    transactions: new OutgoingTransactions({ database, clock, random }),
    transport: cluster.transport,
    background,
    clock,
    logger,
  })
  const ephemeralRouter = new EphemeralRouter({
    hub,
    recipients,
    senders,
    background,
    clock,
    serverName,
    tellsPresence: config.users.presence.enabled !== false,
    excludedRooms: config.rooms.excludeRoomsFromPresence,
  })
  addRouters(core, deps, { recipients, senders, logger })
  cluster.addRole('federation_sender', {
    shards: SENDER_SHARDS,
    start: ({ shard, epoch, signal }) => senders.start(shard, { epoch, signal }),
    stop: (shard) => senders.stop(shard),
  })
  deps.encryption.toDevice.onQueued((destinations) => senders.wake(destinations))
  const remoteReads = new RemoteReads({ requests: federation.federationClient })
  deps.profiles.setRemote(remoteReads)
  return {
    client: { destinations: new Destinations({ database, backoff, serverName }), remoteReads },
    stop: () => ephemeralRouter.stop(),
  }
}

/** The role that decides which server gets what. */
function addRouters(
  { config, database, hub, clock, serverName }: Core,
  { cluster, federation, encryption }: FederationOutboundDeps,
  { recipients, senders, logger }: { recipients: EventRecipients; senders: FederationSenders; logger: Logger },
): void {
  const backoff = federation.destinationBackoff
  const wake = (destinations: Parameters<FederationSenders['wake']>[0]): void => senders.wake(destinations)
  const onError = (error: unknown): void => logger.error('Addressing what other servers get failed', { error })
  const eventRouter = new EventRouter({ database, hub, recipients, backoff, clock, serverName, wake, onError })
  const deviceListRouter = new DeviceListRouter({
    database,
    hub,
    recipients,
    keyQuery: encryption.keyQuery,
    backoff,
    serverName,
    showsNames: config.federation.allowDeviceNameLookupOverFederation,
    wake,
    onError,
  })
  cluster.addRole(
    'federation_router',
    {
      async start({ epoch }) {
        await Promise.all([eventRouter.start(epoch), deviceListRouter.start(epoch)])
      },
      async stop() {
        await Promise.all([eventRouter.stop(), deviceListRouter.stop()])
      },
    },
    { placedAs: 'federation_sender' },
  )
}
