import { selectAuthSlots } from '../../src/protocol/auth-rules/auth-slots.ts'
import { buildEvent } from '../../src/protocol/events/event-builder.ts'
import { stateSlotKey } from '../../src/protocol/events/event.ts'
import type { MatrixEvent } from '../../src/protocol/events/event.ts'
import { parseServerName, parseUserId } from '../../src/protocol/ids.ts'
import type { EventId, RoomId, UserId } from '../../src/protocol/ids.ts'
import type { JsonObject } from '../../src/protocol/json.ts'
import { getRoomVersion } from '../../src/protocol/room-versions/room-versions.ts'
import type { RoomVersion } from '../../src/protocol/room-versions/room-version.ts'
import { generateSigningKey } from '../../src/protocol/signing-key.ts'
import { parseEventRecord } from '../../src/services/events/event-reader.ts'
import type { ForeignEvent } from '../../src/services/events/foreign-events.ts'
import type { Queryable } from '../../src/storage/database.ts'
import { getEventsById } from '../../src/storage/tables/events.ts'
import { systemRandom } from '../../src/util/random.ts'
import { readCurrentState, readExtremities } from './stored-state.ts'

const ROOM_VERSION = getRoomVersion('11') as RoomVersion

/** What a foreign user does; by default after the room's extremities and by its current state. */
export interface ForeignDraft {
  readonly type: string
  readonly stateKey?: string
  readonly content: JsonObject
  readonly prev?: readonly ForeignEvent[] | undefined
  /** Events that stand in slots instead of those of the current state. */
  readonly auth?: readonly ForeignEvent[] | undefined
  readonly originServerTs?: number
}

/** A user of another server who writes into a room (version 11) of a database, as his server would. */
export class ForeignAuthor {
  readonly userId: UserId
  readonly #reader: Queryable
  readonly #roomId: RoomId
  readonly #author: {
    roomVersion: RoomVersion
    serverName: ReturnType<typeof parseServerName>
    signingKey: ReturnType<typeof generateSigningKey>
  }

  constructor(reader: Queryable, roomId: RoomId, userId: string) {
    this.#reader = reader
    this.#roomId = roomId
    this.userId = parseUserId(userId)
    const serverName = parseServerName(userId.slice(userId.indexOf(':') + 1))
    this.#author = { roomVersion: ROOM_VERSION, serverName, signingKey: generateSigningKey(systemRandom) }
  }

  join(options: Partial<ForeignDraft> = {}): Promise<ForeignEvent> {
    return this.write({ type: 'm.room.member', stateKey: this.userId, content: { membership: 'join' }, ...options })
  }

  message(body: string, options: Partial<ForeignDraft> = {}): Promise<ForeignEvent> {
    return this.write({ type: 'm.room.message', content: { msgtype: 'm.text', body }, ...options })
  }

  async write(draft: ForeignDraft): Promise<ForeignEvent> {
    const state = new Map<string, string>(await readCurrentState(this.#reader, this.#roomId))
    for (const { event } of draft.auth ?? []) state.set(stateSlotKey(event.type, event.stateKey ?? ''), event.eventId)
    const slots = selectAuthSlots(ROOM_VERSION, { ...draft, stateKey: draft.stateKey, sender: this.userId })
    const authEvents = slots.flatMap((slot) => (state.get(stateSlotKey(slot.type, slot.stateKey)) as EventId | undefined) ?? [])
    const prev: readonly MatrixEvent[] =
      draft.prev?.map(({ event }) => event) ??
      (await getEventsById(this.#reader, await readExtremities(this.#reader, this.#roomId))).map(
        (record) => parseEventRecord(record).event,
      )
    return buildEvent(
      {
        type: draft.type,
        sender: this.userId,
        stateKey: draft.stateKey,
        content: draft.content,
        roomId: this.#roomId,
        depth: 1 + Math.max(0, ...prev.map((event) => event.depth)),
        originServerTs: draft.originServerTs ?? 1000,
        prevEvents: prev.map((event) => event.eventId),
        authEvents,
      },
      this.#author,
    )
  }
}
