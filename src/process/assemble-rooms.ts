import type { EventsWriter } from '../services/events/event-intent.ts'
import type { ForeignEventsWriter } from '../services/events/foreign-events.ts'
import { EventPersister } from '../services/events/event-persister.ts'
import type { RoomId } from '../protocol/ids.ts'
import { readEventsStream } from '../services/events/event-stream-reader.ts'
import { NidAllocator } from '../services/events/nid-allocator.ts'
import { RoomModels } from '../services/events/room-models.ts'
import type { PushActionCalculator } from '../services/push/push-actions.ts'
import type { Core } from './assemble-core.ts'

/** Rooms and their events. */
export interface RoomServices {
  readonly models: RoomModels
  readonly writer: EventsWriter
  /** Appends what other servers made. */
  readonly foreign: ForeignEventsWriter
  /** How the writer of this process is doing. */
  readonly persister: Pick<EventPersister, 'queueLength' | 'headMoves' | 'stateResets'>
  /** Waits until everything that was accepted is committed or refused. */
  drain(): Promise<void>
}

export function assembleRooms(core: Core, deps: { pushActions: PushActionCalculator }): RoomServices {
  const { database, hub, clock, random, serverName, signingKey, events, logger } = core
  const models = new RoomModels({ database, cacheFactor: core.cacheFactor })
  const nids = new NidAllocator({ database })
  hub.onPurge(({ roomId }) => models.forget(roomId as RoomId))
  readEventsStream(hub, database)
  const writer = new EventPersister({
    database,
    hub,
    models,
    events,
    nids,
    pushActions: deps.pushActions,
    clock,
    random,
    serverName,
    signingKey,
    // Members, power levels or join rules that nobody took away: a sign of a hostile or broken history.
    onStateReset: (reset) => logger.warn('A state resolution dropped state that no event took away', { ...reset }),
  })
  return { models, writer, foreign: writer, persister: writer, drain: () => writer.drain() }
}
