import { RoutedPresenceSink, servePresence } from '../api/replication/presence.ts'
import { RoutedTypingWriter, serveTyping } from '../api/replication/typing.ts'
import { PresenceOwner } from '../services/ephemeral/presence-owner.ts'
import type { PresenceSink } from '../services/ephemeral/presence-owner.ts'
import { PresenceStates } from '../services/ephemeral/presence-states.ts'
import { Presence } from '../services/ephemeral/presence.ts'
import { TypingLists } from '../services/ephemeral/typing-lists.ts'
import { TypingOwner } from '../services/ephemeral/typing-owner.ts'
import { Typing } from '../services/ephemeral/typing.ts'
import type { TypingWriter } from '../services/ephemeral/typing.ts'
import { createDeferred } from '../util/deferred.ts'
import { within } from '../util/within.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'

/** A predecessor that was killed holds its roles until its database connections are gone. */
const ROLE_START_MS = 20_000

/** What lives for moments only: who types, who is online. Written by one owner each. */
export interface EphemeralServices {
  readonly typing: Typing
  readonly typingLists: TypingLists
  readonly typingWriter: TypingWriter
  readonly presence: Presence
  readonly presenceSink: PresenceSink
  start(): Promise<void>
  /** Settles when typing has an owner, which a process that is alone is itself. */
  ready(): Promise<void>
  stop(): void
}

/** Wires typing and presence. */
export function assembleEphemeral(core: Core, cluster: Cluster): EphemeralServices {
  const { typingLists, typingWriter, ready } = assembleTyping(core, cluster)
  const { presence, presenceSink, ...clockwork } = assemblePresence(core, cluster)
  return {
    typing: new Typing({ memberships: core.memberships, writer: typingWriter }),
    typingLists,
    typingWriter,
    presence,
    presenceSink,
    ready,
    ...clockwork,
  }
}

function assembleTyping({ hub }: Core, cluster: Cluster) {
  const { rpcClient: rpc, rpcServer, leases, topology } = cluster
  const typingLists = new TypingLists({ hub })
  const owner = new TypingOwner({ hub, lists: typingLists })
  serveTyping(rpcServer, { owner, lists: typingLists })
  const typingWriter = new RoutedTypingWriter({ owner, rpc, holder: () => leases.holderOf('typing_owner') })
  hub.setReadSince('typing', (_lane, after) => typingWriter.readSince(after))
  const owned = createDeferred<void>()
  cluster.addRole('typing_owner', {
    start({ epoch }) {
      owner.start(epoch)
      owned.resolve()
      return Promise.resolve()
    },
    stop: () => Promise.resolve(owner.stop()),
  })
  const ready = (): Promise<void> =>
    topology.isMonolith ? within(owned.promise, ROLE_START_MS, 'Taking the roles') : Promise.resolve()
  return { typingLists, typingWriter, ready }
}

function assemblePresence(core: Core, cluster: Cluster) {
  const { config, database, hub, clock, rateLimiter, background, memberships, serverName } = core
  const { rpcClient: rpc, rpcServer, leases } = cluster
  const states = new PresenceStates({ database, hub })
  const options = {
    ...config.users.presence,
    serverName,
    excludedRooms: config.rooms.excludeRoomsFromPresence,
    rateLimit: config.ratelimits.rcPresence.perUser,
  }
  const committer = core.committer('presence')
  const owner = new PresenceOwner({ states, committer, background, clock, rateLimiter, options })
  servePresence(rpcServer, owner)
  const presenceSink = new RoutedPresenceSink({ owner, rpc, background, holder: () => leases.holderOf('presence_owner') })
  const presence = new Presence({ states, sink: presenceSink, clock, rateLimiter, memberships, options })
  cluster.addRole('presence_owner', {
    start: () => Promise.resolve(options.enabled === true ? owner.start() : undefined),
    stop: () => owner.stop(),
  })
  return {
    presence,
    presenceSink,
    async start() {
      if (options.enabled !== false) await states.start()
      presence.start()
    },
    stop() {
      presence.stop()
      presenceSink.close()
    },
  }
}
