import type { AuthStateLookup } from '../../../protocol/auth-rules/auth-result.ts'
import { canSendEvent, getPowerLevelsOf } from '../../../protocol/auth-rules/power-levels.ts'
import type { PowerLevels } from '../../../protocol/auth-rules/power-levels.ts'
import { stateSlotKey } from '../../../protocol/events/event.ts'
import type { MatrixEvent } from '../../../protocol/events/event.ts'
import type { RoomId, UserId } from '../../../protocol/ids.ts'
import { getRoomVersion } from '../../../protocol/room-versions/room-versions.ts'
import type { Database } from '../../../storage/database.ts'
import { getRoomSlots } from '../../../storage/tables/room-reads.ts'
import { stateRecordToEvent } from '../../events/state-records.ts'

/** Stands after every position: "as of now". */
export const NOW = Number.MAX_SAFE_INTEGER

/** Reads some slots of a room's state, now or as of a position, in one query. */
export class RoomSlots {
  readonly #database: Database

  constructor(deps: { database: Database }) {
    this.#database = deps.database
  }

  /** Returns a look-up over the slots that were asked for. */
  async get(
    roomId: RoomId,
    slots: readonly { readonly type: string; readonly stateKey: string }[],
    position: number = NOW,
  ): Promise<AuthStateLookup> {
    const records = await getRoomSlots(this.#database, { roomId, position, slots })
    const events = new Map<string, MatrixEvent>(
      records.map((record) => [stateSlotKey(record.type, record.stateKey), stateRecordToEvent(record)]),
    )
    return (type, stateKey) => events.get(stateSlotKey(type, stateKey))
  }

  /** Reads the power levels in force; undefined where the room is not known. */
  async getPowerLevels(roomId: RoomId): Promise<PowerLevels | undefined> {
    const lookup = await this.get(roomId, [
      { type: 'm.room.power_levels', stateKey: '' },
      { type: 'm.room.create', stateKey: '' },
    ])
    const create = lookup('m.room.create', '')
    const roomVersion = create && getRoomVersion(create.roomVersion)
    return roomVersion && getPowerLevelsOf(roomVersion, lookup)
  }

  /** Tells whether the user's power suffices for a state event of the type; false where the room is not known. */
  async canSendState(roomId: RoomId, userId: UserId, type: string): Promise<boolean> {
    const levels = await this.getPowerLevels(roomId)
    return levels !== undefined && canSendEvent(levels, userId, { type, isState: true })
  }
}
