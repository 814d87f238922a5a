import type { ClientContext } from '../api/client/context.ts'
import type { Config } from '../config/config.ts'
import { RateLimiter } from '../http/rate-limiter.ts'
import { Memberships } from '../services/rooms/memberships.ts'
import { Database } from '../storage/database.ts'
import type { DatabaseOptions } from '../storage/database.ts'
import { getLaneHeads } from '../storage/tables/streams.ts'
import { LaneCommitter } from '../streams/lane-committer.ts'
import { StreamHub } from '../streams/stream-hub.ts'
import type { StreamName } from '../streams/streams.ts'
import { systemClock } from '../util/clock.ts'
import type { Logger } from '../util/logger.ts'

/** Everything that one process consists of, wired. */
export interface Assembly {
  readonly client: ClientContext
  /** Loads what must be known before the first request. */
  start(): Promise<void>
  stop(): Promise<void>
}

/** The composition root: makes every object of the process and hands each what it needs. No I/O happens here. */
export function assemble(deps: { config: Config; logger: Logger; databaseOptions: DatabaseOptions }): Assembly {
  const { config, logger } = deps
  const clock = systemClock
  const database = new Database(deps.databaseOptions, { onError: (error) => logger.error('database connection lost', { error }) })
  const hub = new StreamHub({ onError: (error) => logger.error('a stream handler failed', { error }) })
  const committer = <Name extends StreamName>(stream: Name): LaneCommitter<Name> => new LaneCommitter({ database, hub, stream })
  const rateLimiter = new RateLimiter({ clock })
  const memberships = new Memberships({ database, hub })
  void committer
  void memberships

  return {
    client: { config, clock, rateLimiter } as unknown as ClientContext,
    async start() {
      for (const { name, lane, head } of await getLaneHeads(database)) hub.setHead(name as StreamName, lane, head)
    },
    async stop() {
      hub.close()
      await database.close()
    },
  }
}
