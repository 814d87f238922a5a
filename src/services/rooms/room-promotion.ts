import { getPowerLevelsOf, roomCreators, userPowerLevel } from '../../protocol/auth-rules/power-levels.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { RoomId, ServerName, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import { internalRequester } from '../accounts/internal-requester.ts'
import type { Requester } from '../accounts/requester.ts'
import type { EventsWriter } from '../events/event-intent.ts'
import type { MembershipChanges } from './membership-changes.ts'
import type { Memberships } from './memberships.ts'
import type { RoomSlots } from './reading/room-slots.ts'

const LEVEL_DEFAULT = 100

/** Brings users into rooms and gives them power there, in the name of an administrator. As Synapse's docs/admin_api/rooms.md, room_membership.md. */
export class RoomPromotion {
  readonly #memberships: Memberships
  readonly #slots: RoomSlots
  readonly #changes: Pick<MembershipChanges, 'join' | 'invite'>
  readonly #writer: EventsWriter
  readonly #serverName: ServerName

  constructor(deps: {
    memberships: Memberships
    slots: RoomSlots
    changes: Pick<MembershipChanges, 'join' | 'invite'>
    writer: EventsWriter
    serverName: ServerName
  }) {
    this.#memberships = deps.memberships
    this.#slots = deps.slots
    this.#changes = deps.changes
    this.#writer = deps.writer
    this.#serverName = deps.serverName
  }

  /**
   * Joins one of our users to a room; where it is not public, the administrator has to be in it and invites them. Throws M_FORBIDDEN,
   * 400 M_UNKNOWN for users of other servers.
   */
  async join(
    requester: Requester,
    target: { readonly userId: UserId; readonly roomId: RoomId; readonly via: readonly string[] },
  ): Promise<void> {
    const { userId, roomId, via } = target
    const state = await this.#slots.get(roomId, [{ type: 'm.room.join_rules', stateKey: '' }])
    const rules = state('m.room.join_rules', '')
    const membership = await this.#memberships.getMembership(userId, roomId)
    if (rules && rules.content['join_rule'] !== 'public' && membership !== 'join' && membership !== 'invite')
      await this.#changes.invite({ ...requester, isRateLimited: false }, { roomId, userId })
    await this.#changes.join(internalRequester(userId), roomId, {}, via)
  }

  /** Gives a user the power of the mightiest of ours in the room, and invites them where they cannot join. Throws 400 M_UNKNOWN. */
  async makeAdmin(roomId: RoomId, userId: UserId): Promise<void> {
    const types = ['m.room.create', 'm.room.power_levels', 'm.room.join_rules']
    const state = await this.#slots.get(
      roomId,
      types.map((type) => ({ type, stateKey: '' })),
    )
    const create = state('m.room.create', '')
    const version = create && getRoomVersion(create.roomVersion)
    if (!create || !version) throw refusal('Server not in room')
    const levels = getPowerLevelsOf(version, state)
    const powerLevels = state('m.room.power_levels', '')
    const ours = (await this.#memberships.getJoinedUsers(roomId)).filter((member) => serverNameOf(member) === this.#serverName)
    const [admin] = ours.toSorted((one, other) => compare(userPowerLevel(levels, other), userPowerLevel(levels, one)))
    const users = isJsonObject(powerLevels?.content['users']) ? powerLevels.content['users'] : {}
    const isNamed = admin !== undefined && (admin in users || roomCreators(version, create).includes(admin))
    if (admin === undefined || !isNamed) throw refusal('No local admin user in room')
    const content: JsonObject = { ...powerLevels?.content, users: { ...users, [userId]: users[admin] ?? LEVEL_DEFAULT } }
    try {
      await this.#writer.append({ roomId, intents: [{ type: 'm.room.power_levels', sender: admin, stateKey: '', content }] })
    } catch (error) {
      if (!(error instanceof MatrixError) || error.errcode !== 'M_FORBIDDEN') throw error
      throw refusal('No local admin user in room with power to update power levels.')
    }
    const membership = await this.#memberships.getMembership(userId, roomId)
    const isPublic = state('m.room.join_rules', '')?.content['join_rule'] === 'public'
    if (membership === 'join' || membership === 'invite' || isPublic) return
    await this.#changes.invite(internalRequester(admin), { roomId, userId })
  }
}

/** Creators stand above every level: the difference of two of them is none. */
function compare(one: number, other: number): number {
  return one === other ? 0 : one - other
}

function refusal(message: string): MatrixError {
  return new MatrixError('M_UNKNOWN', message, { status: 400 })
}
