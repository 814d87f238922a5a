import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import { RateLimiter } from '../http/rate-limiter.ts'
import { makeSharedCache } from '../replication/shared-cache.ts'
import type { SharedCache } from '../replication/shared-cache.ts'
import { parseServerName } from '../protocol/ids.ts'
import type { ServerName } from '../protocol/ids.ts'
import { parseSigningKeys } from '../protocol/signing-key.ts'
import type { SigningKey } from '../protocol/signing-key.ts'
import { Memberships } from '../services/rooms/memberships.ts'
import { ClientEvents } from '../services/events/client-events.ts'
import { EventReader } from '../services/events/event-reader.ts'
import { Database } from '../storage/database.ts'
import type { DatabaseOptions } from '../storage/database.ts'
import { LaneCommitter } from '../streams/lane-committer.ts'
import { StreamHub } from '../streams/stream-hub.ts'
import type { StreamName } from '../streams/streams.ts'
import { Background } from '../util/background.ts'
import { systemClock } from '../util/clock.ts'
import type { Clock } from '../util/clock.ts'
import type { Logger } from '../util/logger.ts'
import { systemRandom } from '../util/random.ts'
import type { Random } from '../util/random.ts'

const GLOBAL_FACTOR_DEFAULT = 0.5
/** With less, rooms in use would be loaded again and again. */
const CACHE_FACTOR_MIN = 0.05

/** What every part of a process stands on. */
export interface Core {
  readonly config: Config
  readonly logger: Logger
  readonly clock: Clock
  readonly random: Random
  readonly serverName: ServerName
  /** The key that signs events and requests. */
  readonly signingKey: SigningKey
  /** All keys that are published as in use; `signingKey` is the first. */
  readonly signingKeys: readonly [SigningKey, ...SigningKey[]]
  readonly database: Database
  readonly hub: StreamHub
  readonly background: Background
  /** What all processes remember together, and can do without. */
  readonly sharedCache: SharedCache
  readonly rateLimiter: RateLimiter
  readonly memberships: Memberships
  readonly events: EventReader
  readonly clientEvents: ClientEvents
  /** Multiplies the memory that the large caches may take: `caches.global_factor`, where its default counts as 1. */
  readonly cacheFactor: number
  /** The committer of a stream: one for each stream in a process. */
  committer<Name extends StreamName>(stream: Name): LaneCommitter<Name>
  /** Jobs that wait for a commit, by stream; events have a writer of their own. */
  queueLengths(): ReadonlyMap<StreamName, number>
}

export function assembleCore(deps: { config: Config; logger: Logger; databaseOptions: DatabaseOptions }): Core {
  const { config, logger } = deps
  const clock = systemClock
  const database = new Database(deps.databaseOptions, { onError: (error) => logger.error('database connection lost', { error }) })
  const hub = new StreamHub({ onError: (error) => logger.error('a stream handler failed', { error }) })
  const signingKeys = loadSigningKeys(config)
  const committers = new Map<StreamName, LaneCommitter<StreamName>>()
  const cacheFactor = Math.max(config.caches.caches.globalFactor / GLOBAL_FACTOR_DEFAULT, CACHE_FACTOR_MIN)
  const events = new EventReader({ database, hub, cacheFactor })
  const sharedCache = makeSharedCache(config.workers, {
    serverName: config.server.serverName,
    onError: (error) => logger.debug('the shared cache fails', { error }),
  })
  return {
    config,
    logger,
    clock,
    random: systemRandom,
    serverName: parseServerName(config.server.serverName),
    signingKey: signingKeys[0],
    signingKeys,
    database,
    hub,
    background: new Background({ onError: (name, error) => logger.error('background work failed', { name, error }) }),
    sharedCache,
    rateLimiter: new RateLimiter({ clock, shared: sharedCache }),
    memberships: new Memberships({ database, hub }),
    events,
    cacheFactor,
    clientEvents: new ClientEvents({ database, events, clock }),
    committer<Name extends StreamName>(stream: Name) {
      const known =
        committers.get(stream) ?? (new LaneCommitter({ database, hub, stream }) as unknown as LaneCommitter<StreamName>)
      committers.set(stream, known)
      return known as unknown as LaneCommitter<Name>
    },
    queueLengths: () => new Map([...committers].map(([stream, { queueLength }]) => [stream, queueLength])),
  }
}

/** Reads our keys: from the option itself, or from their file. */
function loadSigningKeys(config: Config): readonly [SigningKey, ...SigningKey[]] {
  const { signingKey, signingKeyPath } = config.keys
  const path = signingKeyPath ?? join(config.directory, `${config.server.serverName}.signing.key`)
  const [first, ...others] = parseSigningKeys(signingKey ?? readFileSync(path, 'utf8'))
  if (!first) throw new Error(`There is no signing key in ${signingKey === undefined ? path : 'the option signing_key'}`)
  return [first, ...others]
}
