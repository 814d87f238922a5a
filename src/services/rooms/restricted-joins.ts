import type { AuthStateLookup } from '../../protocol/auth-rules/auth-result.ts'
import { allowsRestrictedJoin, joinRuleOf } from '../../protocol/auth-rules/membership-rules.ts'
import { getPowerLevelsOf, namedPowerLevel, userPowerLevel } from '../../protocol/auth-rules/power-levels.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { RoomId, ServerName, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonValue } from '../../protocol/json.ts'
import type { RoomVersion } from '../../protocol/room-versions/room-version.ts'
import type { Memberships } from './memberships.ts'

/** Rooms of one allow list that are looked at. */
const ALLOWED_ROOMS_MAX = 100

/** Lets members of other rooms in without an invite. Spec: client-server-api § Restricted rooms. */
export class RestrictedJoins {
  readonly #memberships: Memberships
  readonly #serverName: ServerName

  constructor(deps: { memberships: Memberships; serverName: ServerName }) {
    this.#memberships = deps.memberships
    this.#serverName = deps.serverName
  }

  /**
   * Finds who of our users in the room authorises a join that needs no invite; undefined where the room's rules ask for none.
   * Throws M_FORBIDDEN where the user is in none of the allowed rooms, M_UNABLE_TO_GRANT_JOIN where nobody may invite.
   */
  async findAuthoriser(
    roomId: RoomId,
    userId: UserId,
    room: { readonly version: RoomVersion; readonly state: AuthStateLookup },
  ): Promise<UserId | undefined> {
    const { version, state } = room
    if (!allowsRestrictedJoin(version, joinRuleOf(state))) return undefined
    if (!(await this.isAllowed(userId, state))) {
      throw new MatrixError('M_FORBIDDEN', 'You do not belong to any of the required rooms or spaces to join this room.')
    }
    const levels = getPowerLevelsOf(version, state)
    const required = namedPowerLevel(levels, 'invite')
    const members = await this.#memberships.getOfRoom(roomId)
    for (const [member, membership] of members) {
      if (membership !== 'join' || serverNameOf(member) !== this.#serverName) continue
      if (userPowerLevel(levels, member) >= required) return member
    }
    throw new MatrixError('M_UNABLE_TO_GRANT_JOIN', 'Nobody in the room is able to let you in')
  }

  /** Tells whether the user is in one of the rooms that the join rules allow, as far as we are in them and know. */
  async isAllowed(userId: UserId, state: AuthStateLookup): Promise<boolean> {
    for (const roomId of this.getAllowedRooms(state)) {
      // From the memory of the user's memberships: any string may be asked for.
      if ((await this.#memberships.isJoined(userId, roomId)) && (await this.#isOurs(userId, roomId))) return true
    }
    return false
  }

  /** Of rooms that all of our users have left nobody tells us who left after them. */
  async #isOurs(userId: UserId, roomId: RoomId): Promise<boolean> {
    if (serverNameOf(userId) === this.#serverName) return true
    for (const [member, membership] of await this.#memberships.getOfRoom(roomId))
      if (membership === 'join' && serverNameOf(member) === this.#serverName) return true
    return false
  }

  /** The rooms whose members the join rules let in. */
  getAllowedRooms(state: AuthStateLookup): RoomId[] {
    const allow = state('m.room.join_rules', '')?.content['allow']
    if (!Array.isArray(allow)) return []
    return allow.slice(0, ALLOWED_ROOMS_MAX).flatMap((entry: JsonValue) => {
      if (!isJsonObject(entry) || entry['type'] !== 'm.room_membership' || typeof entry['room_id'] !== 'string') return []
      return [entry['room_id'] as RoomId]
    })
  }
}
