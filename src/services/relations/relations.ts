import type { EventId, RoomId } from '../../protocol/ids.ts'
import { redactMatrixEvent } from '../../protocol/redaction.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import type { Database } from '../../storage/database.ts'
import { getChildren, getThreads } from '../../storage/tables/relations.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { EventReader, StoredEvent } from '../events/event-reader.ts'
import type { RoomAccess } from '../rooms/reading/room-access.ts'
import type { RoomMessages, RoomReader } from '../rooms/reading/room-messages.ts'
import type { RoomViews } from '../rooms/reading/room-view.ts'

/** How far relations of relations are followed. Spec: relations.yaml asks for three levels at least. */
export const RECURSION_DEPTH = 3

export interface RelationsRequest {
  readonly roomId: RoomId
  readonly eventId: EventId
  readonly relType: string | undefined
  readonly eventType: string | undefined
  readonly direction: 'b' | 'f'
  readonly from: number | undefined
  readonly to: number | undefined
  readonly limit: number
  readonly isRecursive: boolean
}

export interface RelationsPage {
  readonly chunk: readonly string[]
  /** Undefined where nothing is left. */
  readonly nextPosition: number | undefined
}

export interface RelationsDeps {
  readonly database: Database
  readonly hub: StreamHub
  readonly events: EventReader
  readonly messages: RoomMessages
  readonly access: RoomAccess
  readonly views: RoomViews
}

/** Lists what relates to events, and the threads of rooms. */
export class Relations {
  readonly #deps: RelationsDeps

  constructor(deps: RelationsDeps) {
    this.#deps = deps
  }

  /** Reads a page of an event's children. Throws M_NOT_FOUND. Spec: relations.yaml. */
  async getChildren(reader: RoomReader, request: RelationsRequest): Promise<RelationsPage> {
    const { roomId, eventId, direction, limit } = request
    // The tokens may come from a process that is further.
    await this.#deps.hub.catchUpTo('events', 0, Math.max(request.from ?? 0, request.to ?? 0))
    const { view } = await this.#deps.messages.getVisibleEvent(reader, roomId, eventId)
    const head = this.#deps.hub.head('events')
    const range =
      direction === 'b'
        ? { low: (request.to ?? 0) + 1, high: Math.min(request.from ?? head, head) }
        : { low: (request.from ?? 0) + 1, high: Math.min(request.to ?? head, head) }
    const records = await getChildren(this.#deps.database, {
      roomId,
      parentId: eventId,
      relType: request.relType,
      eventType: request.eventType,
      depthMax: request.isRecursive ? RECURSION_DEPTH : 1,
      direction,
      limit: limit + 1,
      ...range,
    })
    const page = records.slice(0, limit).map((record) => this.#deps.events.remember(record))
    const visible = view.filter(page).filter((stored) => !reader.ignoredUsers.has(stored.event.sender))
    const next = records[limit]?.position
    return {
      chunk: await this.#deps.messages.write(reader.viewer, view, visible),
      nextPosition: next === undefined ? undefined : direction === 'b' ? next : next - 1,
    }
  }

  /** Lists a room's threads, the one with the newest event first. Throws M_FORBIDDEN. Spec: threads_list.yaml. */
  async getThreads(
    reader: RoomReader,
    request: {
      readonly roomId: RoomId
      readonly from: number | undefined
      readonly limit: number
      readonly isParticipated: boolean
    },
  ): Promise<RelationsPage> {
    const { roomId, limit } = request
    const { userId } = reader.viewer
    const [reading, view] = await Promise.all([
      this.#deps.access.getReading(userId, roomId),
      this.#deps.views.get(userId, roomId),
    ])
    const threads = await getThreads(this.#deps.database, {
      roomId,
      high: Math.min(request.from ?? this.#deps.hub.head('events'), reading.eventsUpTo),
      limit: limit + 1,
      ignoredUsers: [...reader.ignoredUsers],
      participant: request.isParticipated ? userId : undefined,
    })
    const rootIds = threads.slice(0, limit).map((thread) => thread.rootId as EventId)
    const found = await this.#deps.events.getEvents(rootIds)
    const roots = view.filter(
      rootIds.flatMap((rootId) => found.get(rootId) ?? []).filter((stored) => stored.event.roomId === roomId),
    )
    const shown = roots.map((stored) => (reader.ignoredUsers.has(stored.event.sender) ? redactFor(stored) : stored))
    return { chunk: await this.#deps.messages.write(reader.viewer, view, shown), nextPosition: threads[limit]?.position }
  }
}

/** What an ignored user began is shown as if it were redacted. Spec: threads_list.yaml. */
function redactFor(stored: StoredEvent): StoredEvent {
  const roomVersion = getRoomVersion(stored.event.roomVersion)
  return roomVersion ? { ...stored, event: redactMatrixEvent(roomVersion, stored.event) } : stored
}
