import type { ServerName } from '../../src/protocol/ids.ts'
import type { SigningKey } from '../../src/protocol/signing-key.ts'
import { EventPersister } from '../../src/services/events/event-persister.ts'
import { EventReader } from '../../src/services/events/event-reader.ts'
import { readEventsStream } from '../../src/services/events/event-stream-reader.ts'
import { NidAllocator } from '../../src/services/events/nid-allocator.ts'
import { RoomModels } from '../../src/services/events/room-models.ts'
import { PushActionEvaluator } from '../../src/services/push/push-action-evaluator.ts'
import { PushRules } from '../../src/services/push/push-rules.ts'
import { Database } from '../../src/storage/database.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { LaneCommitter } from '../../src/streams/lane-committer.ts'
import { StreamHub } from '../../src/streams/stream-hub.ts'
import { systemClock } from '../../src/util/clock.ts'
import { systemRandom } from '../../src/util/random.ts'

/** An event persister with everything of a process of its own: caches, hub, connections. */
export interface EventProcess {
  readonly persister: EventPersister
  readonly hub: StreamHub
  stop(): Promise<void>
}

/** Starts what a process needs to append events. */
export function startEventProcess(
  options: DatabaseOptions,
  server: { readonly serverName: ServerName; readonly signingKey: SigningKey },
): EventProcess {
  const database = new Database({ ...options, max: 8 }, { onError: () => {} })
  const hub = new StreamHub({ onError: () => {} })
  readEventsStream(hub, database)
  const committer = new LaneCommitter({ database, hub, stream: 'push_rules' })
  const pushRules = new PushRules({ database, hub, committer, options: { hasLegacyMentions: true } })
  const persister = new EventPersister({
    database,
    hub,
    models: new RoomModels({ database }),
    events: new EventReader({ database, hub }),
    nids: new NidAllocator({ database }),
    pushActions: new PushActionEvaluator({ pushRules, hub }),
    clock: systemClock,
    random: systemRandom,
    ...server,
  })
  return {
    persister,
    hub,
    async stop() {
      await persister.drain()
      hub.close()
      await database.close()
    },
  }
}
