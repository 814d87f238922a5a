import type { EventsWriter } from '../services/events/event-intent.ts'
import { EventPersister } from '../services/events/event-persister.ts'
import { readEventsStream } from '../services/events/event-stream-reader.ts'
import { NidAllocator } from '../services/events/nid-allocator.ts'
import { RoomModels } from '../services/events/room-models.ts'
import type { PushActionCalculator } from '../services/push/push-actions.ts'
import type { Core } from './assemble-core.ts'

/** Rooms and their events. */
export interface RoomServices {
  readonly models: RoomModels
  readonly writer: EventsWriter
  /** Waits until everything that was accepted is committed or refused. */
  drain(): Promise<void>
}

export function assembleRooms(core: Core, deps: { pushActions: PushActionCalculator }): RoomServices {
  const { database, hub, clock, random, serverName, signingKey, events } = core
  const models = new RoomModels({ database, cacheFactor: core.cacheFactor })
  const nids = new NidAllocator({ database })
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
  })
  return { models, writer, drain: () => writer.drain() }
}
