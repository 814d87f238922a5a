import type { RoomId, UserId } from '../../protocol/ids.ts'
import { MatrixError } from '../../protocol/errors.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { getMemberEvents } from '../../storage/tables/sync-state.ts'
import type { EventsWriter } from '../events/event-intent.ts'
import { stateRecordToEvent } from '../events/state-records.ts'
import type { MembershipProfilePropagator, NameAndAvatar } from '../user-data/profiles.ts'
import type { Memberships } from './memberships.ts'

/** Rooms that are worked on at the same time. */
const CONCURRENCY = 8

/** Brings a changed name or avatar into the member events of all rooms that the user is joined to. Idempotent. */
export class ProfilePropagation implements MembershipProfilePropagator {
  readonly #database: Database
  readonly #memberships: Memberships
  readonly #writer: EventsWriter
  readonly #onRefused: (roomId: RoomId, error: MatrixError) => void

  constructor(deps: {
    database: Database
    memberships: Memberships
    writer: EventsWriter
    /** A room that does not let the user change the member event keeps the old one. */
    onRefused: (roomId: RoomId, error: MatrixError) => void
  }) {
    this.#database = deps.database
    this.#memberships = deps.memberships
    this.#writer = deps.writer
    this.#onRefused = deps.onRefused
  }

  async propagate(userId: UserId, profile: NameAndAvatar): Promise<void> {
    const rooms = await this.#memberships.getJoinedRooms(userId)
    const records = await getMemberEvents(
      this.#database,
      rooms.map((roomId) => ({ roomId, userId })),
    )
    const events = records.map(stateRecordToEvent).filter((event) => event.content['membership'] === 'join')
    let next = 0
    const work = async (): Promise<void> => {
      for (let event = events[next++]; event; event = events[next++]) {
        const { displayname: _name, avatar_url: _avatar, ...rest } = event.content
        await this.#update(event.roomId, userId, { ...rest, ...profile })
      }
    }
    await Promise.all(Array.from({ length: Math.min(CONCURRENCY, events.length) }, work))
  }

  async #update(roomId: RoomId, userId: UserId, content: JsonObject): Promise<void> {
    try {
      await this.#writer.append({ roomId, intents: [{ type: 'm.room.member', sender: userId, stateKey: userId, content }] })
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error
      this.#onRefused(roomId, error)
    }
  }
}
