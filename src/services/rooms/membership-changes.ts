import type { RateLimit, RateLimiter } from '../../http/rate-limiter.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import { assert } from '../../util/assert.ts'
import type { Requester } from '../accounts/requester.ts'
import { unseenEventId } from '../accounts/shadow-ban.ts'
import type { Random } from '../../util/random.ts'
import type { EventsWriter } from '../events/event-intent.ts'
import type { RemoteEntry, RemoteMemberships } from '../federation/remote/remote-memberships.ts'
import type { NameAndAvatar } from '../user-data/profiles.ts'
import type { InvitePolicy } from './invite-policy.ts'
import type { Memberships } from './memberships.ts'
import type { RoomSlots } from './reading/room-slots.ts'
import type { RestrictedJoins } from './restricted-joins.ts'
import type { Succession } from './settings-transfer.ts'

const JOIN_STATE = ['m.room.create', 'm.room.join_rules', 'm.room.power_levels', 'm.room.guest_access']
const PROFILE_KEYS = ['displayname', 'avatar_url']

export interface MembershipOptions {
  readonly serverName: ServerName
  /** Option forget_rooms_on_leave. */
  readonly forgetsOnLeave: boolean
  /** Option include_profile_data_on_invite. */
  readonly showsInvitedProfile: boolean
  /** Option allow_per_room_profiles. */
  readonly allowsPerRoomProfiles: boolean
  readonly limits: {
    readonly joins: RateLimit
    readonly remoteJoins: RateLimit
    readonly joinsPerRoom: RateLimit
    readonly messages: RateLimit
  }
}

export interface MembershipChangesDeps {
  readonly writer: EventsWriter
  readonly memberships: Memberships
  readonly slots: RoomSlots
  readonly profiles: { getNameAndAvatar(userId: UserId): Promise<NameAndAvatar> }
  readonly restrictedJoins: RestrictedJoins
  /** Rooms and users of other servers. */
  readonly remote: RemoteMemberships
  readonly invites: InvitePolicy
  /** Rooms that an administrator has closed. */
  readonly blocked: { assertOpen(roomId: RoomId): Promise<void> }
  /** Rooms in which the server writes to a user. */
  readonly notices: { isNoticeRoom(roomId: RoomId): Promise<boolean> }
  readonly rateLimiter: RateLimiter
  readonly random: Random
  /** A user has joined a room whose predecessor they were in. */
  readonly onSucceeded: (userId: UserId, succession: Succession) => void
  readonly options: MembershipOptions
}

/** Where, who, and what else the member event says. */
export interface MemberChange {
  readonly roomId: RoomId
  readonly userId: UserId
  /** Further content, such as `reason`. */
  readonly content?: JsonObject
}

/**
 * Changes who is in a room. All ask the room's auth rules in the end; what is checked here gives better answers, or is the
 * server's own business. Spec: client-server-api § Room membership.
 */
export class MembershipChanges {
  readonly #deps: MembershipChangesDeps

  constructor(deps: MembershipChangesDeps) {
    this.#deps = deps
  }

  /**
   * Joins a room; by way of other servers where nobody of ours is in it, `via` those that the client names first. Idempotent.
   * Throws M_NOT_FOUND, M_FORBIDDEN, M_GUEST_ACCESS_FORBIDDEN, M_UNABLE_TO_GRANT_JOIN, M_LIMIT_EXCEEDED, 502 M_UNKNOWN.
   */
  async join(
    requester: Requester,
    roomId: RoomId,
    content: JsonObject = {},
    via: readonly string[] = [],
  ): Promise<EventId | undefined> {
    const { userId } = requester
    const { memberships, remote, rateLimiter, options } = this.#deps
    const known = (await memberships.getOfUser(userId)).get(roomId)
    if (known?.membership === 'join') return known.eventId
    refuseSuspended(requester, 'Joining rooms')
    await this.#deps.blocked.assertOpen(roomId)
    const entry = { roomId, userId, via, content }
    if (!(await remote.isHere(roomId))) {
      const servers = await remote.serversFor(entry)
      // Without any, it is a room of ours that everybody has left, or none that we can find.
      if (servers.length > 0) {
        if (requester.isRateLimited) await rateLimiter.consume(`join_remote:${userId}`, options.limits.remoteJoins)
        return this.#joinRemotely(requester, entry, servers)
      }
    }
    if (requester.isRateLimited) await rateLimiter.consume(`join:${userId}`, options.limits.joins)
    return this.#joinHere(requester, entry)
  }

  /** Joins a room that is here, or should be. */
  async #joinHere(requester: Requester, entry: RemoteEntry): Promise<EventId | undefined> {
    const { roomId, userId, content } = entry
    const { memberships, slots, rateLimiter, options } = this.#deps
    const known = await memberships.getMembership(userId, roomId)
    const state = await slots.get(
      roomId,
      JOIN_STATE.map((type) => ({ type, stateKey: '' })),
    )
    const create = state('m.room.create', '')
    if (!create) throw unknownRoom()
    if (requester.isGuest && state('m.room.guest_access', '')?.content['guest_access'] !== 'can_join') throw noGuests()
    if (requester.isRateLimited) await rateLimiter.consume(`join_room:${roomId}`, options.limits.joinsPerRoom)
    const version = getRoomVersion(create.roomVersion)
    assert(version, 'only rooms of known versions are stored')
    const needsAuthoriser = known !== 'invite' && known !== 'ban'
    let authoriser: UserId | undefined
    try {
      if (needsAuthoriser) authoriser = await this.#deps.restrictedJoins.findAuthoriser(roomId, userId, { version, state })
    } catch (error) {
      if (!(error instanceof MatrixError) || error.errcode !== 'M_UNABLE_TO_GRANT_JOIN') throw error
      // Nobody of ours may let anybody in; users of other servers may. Spec: server-server-api § Restricted rooms.
      const servers = await this.#deps.remote.serversFor(entry)
      if (servers.length === 0) throw error
      return this.#joinRemotely(requester, entry, servers)
    }
    const { join_authorised_via_users_server: _given, ...rest } = content
    const joined = { ...rest, ...(authoriser !== undefined && { join_authorised_via_users_server: authoriser }) }
    const eventId = await this.#append(requester, { roomId, userId, content: joined }, 'join')
    await this.#tellSucceeded(userId, roomId, create.content)
    return eventId
  }

  async #joinRemotely(requester: Requester, entry: RemoteEntry, servers: readonly ServerName[]): Promise<EventId | undefined> {
    const { roomId, userId } = entry
    // What the room thinks of guests is not known before it is too late.
    if (requester.isGuest) throw noGuests()
    const content = await this.#profileFor(userId, 'join', entry.content)
    const eventId = await this.#deps.remote.join({ ...entry, content }, servers)
    if (eventId === undefined) return this.join({ ...requester, isRateLimited: false }, roomId, entry.content, entry.via)
    const state = await this.#deps.slots.get(roomId, [{ type: 'm.room.create', stateKey: '' }])
    await this.#tellSucceeded(userId, roomId, state('m.room.create', '')?.content ?? {})
    return eventId
  }

  async #tellSucceeded(userId: UserId, roomId: RoomId, createContent: JsonObject): Promise<void> {
    const { predecessor } = createContent
    const from = isJsonObject(predecessor) ? predecessor['room_id'] : undefined
    if (typeof from === 'string' && (await this.#deps.memberships.getMembership(userId, from as RoomId)) !== undefined) {
      this.#deps.onSucceeded(userId, { from: from as RoomId, to: roomId })
    }
  }

  /** Leaves a room, rejects an invite, or takes a knock back. Having left already is fine. */
  async leave(requester: Requester, roomId: RoomId, content: JsonObject = {}): Promise<EventId | undefined> {
    const { userId } = requester
    const { memberships, options } = this.#deps
    const known = (await memberships.getOfUser(userId)).get(roomId)
    if (known?.membership === 'leave') return known.eventId
    if (!known) await this.#assertKnown(roomId)
    // Who has joined may leave, as with Synapse; a closed account leaves everything.
    if (known?.membership === 'invite' && requester.accessTokenId !== 0 && (await this.#deps.notices.isNoticeRoom(roomId)))
      throw new MatrixError('M_CANNOT_LEAVE_SERVER_NOTICE_ROOM', 'You cannot reject this invite')
    const isOutside =
      (known?.membership === 'invite' || known?.membership === 'knock') && !(await this.#deps.remote.isHere(roomId))
    const eventId =
      known && isOutside
        ? await this.#deps.remote.leave({ roomId, userId, content, formerEventId: known.eventId })
        : await this.#append(requester, { roomId, userId, content }, 'leave')
    if (options.forgetsOnLeave) await memberships.forget(userId, roomId)
    return eventId
  }

  /** Forgets a room that was left. Throws 400 M_UNKNOWN where the user is still in it. Spec: leaving.yaml. */
  async forget(requester: Requester, roomId: RoomId): Promise<void> {
    const { userId } = requester
    const membership = await this.#deps.memberships.getMembership(userId, roomId)
    if (membership === undefined) return this.#assertKnown(roomId)
    if (membership !== 'leave' && membership !== 'ban')
      throw new MatrixError('M_UNKNOWN', `User ${userId} is in room ${roomId}`, { status: 400 })
    await this.#deps.memberships.forget(userId, roomId)
  }

  /** Asks to be let in, other servers where nobody of ours is in the room. Throws M_NOT_FOUND, M_FORBIDDEN. Spec: knocking.yaml. */
  async knock(requester: Requester, roomId: RoomId, content: JsonObject = {}, via: readonly string[] = []): Promise<EventId> {
    refuseSuspended(requester, 'Knocking on rooms')
    await this.#deps.blocked.assertOpen(roomId)
    const { userId } = requester
    const { remote } = this.#deps
    if (!(await remote.isHere(roomId))) {
      const entry = { roomId, userId, via, content }
      const servers = await remote.serversFor(entry)
      if (servers.length > 0) {
        await this.#limit(requester)
        return remote.knock({ ...entry, content: await this.#profileFor(userId, 'knock', content) }, servers)
      }
    }
    await this.#assertKnown(roomId)
    await this.#limit(requester)
    return this.#append(requester, { roomId, userId, content }, 'knock')
  }

  /** Invites a user. Throws M_FORBIDDEN, M_INVITE_BLOCKED, M_NOT_FOUND, M_LIMIT_EXCEEDED. Spec: inviting.yaml. */
  async invite(requester: Requester, change: MemberChange): Promise<EventId> {
    await this.#assertMember(requester, change.roomId)
    await this.#deps.blocked.assertOpen(change.roomId)
    await this.#deps.invites.check(requester, [change.userId], change.roomId)
    if (requester.isShadowBanned) return unseenEventId(this.#deps.random)
    if (this.#deps.remote.isOurs(change.userId)) return this.#append(requester, change, 'invite')
    const { roomId, userId, content = {} } = change
    return this.#deps.remote.invite({ roomId, sender: requester.userId, userId, content })
  }

  /** Removes a user from the room; takes an invite back or denies a knock. Throws M_FORBIDDEN. Spec: kicking.yaml. */
  async kick(requester: Requester, change: MemberChange): Promise<EventId> {
    await this.#prepareModeration(requester, change)
    const membership = await this.#deps.memberships.getMembership(change.userId, change.roomId)
    if (membership !== 'join' && membership !== 'invite' && membership !== 'knock') {
      throw new MatrixError('M_FORBIDDEN', 'The target user is not in the room')
    }
    return this.#append(requester, change, 'leave')
  }

  /** Bans a user. Throws M_FORBIDDEN. Spec: banning.yaml. */
  async ban(requester: Requester, change: MemberChange): Promise<EventId> {
    await this.#prepareModeration(requester, change)
    return this.#append(requester, change, 'ban')
  }

  /** Lifts a ban. Throws M_FORBIDDEN where there is none. Spec: banning.yaml. */
  async unban(requester: Requester, change: MemberChange): Promise<EventId> {
    await this.#prepareModeration(requester, change)
    const membership = await this.#deps.memberships.getMembership(change.userId, change.roomId)
    if (membership !== 'ban') throw new MatrixError('M_FORBIDDEN', 'The target user is not banned')
    return this.#append(requester, change, 'leave')
  }

  /** Does what a client asks by setting an `m.room.member` event itself. Throws M_BAD_JSON and what the single changes throw. */
  async setMemberState(requester: Requester, change: Required<MemberChange>): Promise<EventId> {
    const { roomId, userId, content } = change
    const { membership, ...rest } = content
    const isSelf = userId === requester.userId
    const former = await this.#deps.memberships.getMembership(userId, roomId)
    switch (membership) {
      case 'join':
        if (!isSelf) break
        if (former === 'join') return this.#changeOwnJoin(requester, roomId, rest)
        return (await this.join(requester, roomId, rest)) as EventId
      case 'leave':
        if (isSelf) return (await this.leave(requester, roomId, rest)) as EventId
        return former === 'ban'
          ? this.unban(requester, { roomId, userId, content: rest })
          : this.kick(requester, { roomId, userId, content: rest })
      case 'invite':
        return this.invite(requester, { roomId, userId, content: rest })
      case 'ban':
        return this.ban(requester, { roomId, userId, content: rest })
      case 'knock':
        if (isSelf) return this.knock(requester, roomId, rest)
        break
      default:
        throw new MatrixError('M_BAD_JSON', 'The membership is missing or unknown')
    }
    throw new MatrixError('M_FORBIDDEN', `A user cannot set the membership ${membership} of another user`)
  }

  /** A member changes how the room shows them. What let them in is not repeated: it would have to be signed anew by its server. */
  async #changeOwnJoin(requester: Requester, roomId: RoomId, content: JsonObject): Promise<EventId> {
    const { userId } = requester
    refuseSuspended(requester, 'Changing the own membership')
    await this.#limit(requester)
    const { join_authorised_via_users_server: _given, ...rest } = content
    return this.#append(requester, { roomId, userId, content: rest }, 'join')
  }

  async #prepareModeration(requester: Requester, change: MemberChange): Promise<void> {
    refuseSuspended(requester, 'Moderating rooms')
    await this.#assertMember(requester, change.roomId)
    await this.#limit(requester)
  }

  async #limit(requester: Requester): Promise<void> {
    const { rateLimiter, options } = this.#deps
    if (requester.isRateLimited)
      await rateLimiter.consume(`message:${requester.userId}`, requester.messageLimit ?? options.limits.messages)
  }

  async #assertMember(requester: Requester, roomId: RoomId): Promise<void> {
    if (await this.#deps.memberships.isJoined(requester.userId, roomId)) return
    await this.#assertKnown(roomId)
    throw new MatrixError('M_FORBIDDEN', `${requester.userId} is not in the room`)
  }

  async #assertKnown(roomId: RoomId): Promise<void> {
    const state = await this.#deps.slots.get(roomId, [{ type: 'm.room.create', stateKey: '' }])
    if (!state('m.room.create', '')) throw unknownRoom()
  }

  async #append(requester: Requester, change: MemberChange, membership: string): Promise<EventId> {
    const { roomId, userId } = change
    const content = { ...(await this.#profileFor(userId, membership, change.content ?? {})), membership }
    const [appended] = await this.#deps.writer.append({
      roomId,
      intents: [{ type: 'm.room.member', sender: requester.userId, stateKey: userId, content }],
    })
    assert(appended, 'an intent is answered with its event')
    return appended.eventId
  }

  /** The content with name and avatar, where the membership shows them and the user did not choose others for this room. */
  async #profileFor(userId: UserId, membership: string, content: JsonObject): Promise<JsonObject> {
    const { options, profiles } = this.#deps
    const isOwn = membership === 'join' || membership === 'knock'
    if (!isOwn && !(membership === 'invite' && options.showsInvitedProfile)) return content
    if (serverNameOf(userId) !== options.serverName) return content
    const profile = await profiles.getNameAndAvatar(userId)
    if (isOwn && options.allowsPerRoomProfiles) return { ...profile, ...content }
    return { ...Object.fromEntries(Object.entries(content).filter(([key]) => !PROFILE_KEYS.includes(key))), ...profile }
  }
}

function refuseSuspended(requester: Requester, what: string): void {
  if (requester.isSuspended) throw new MatrixError('M_USER_SUSPENDED', `${what} while account is suspended is not allowed.`)
}

function noGuests(): MatrixError {
  return new MatrixError('M_GUEST_ACCESS_FORBIDDEN', 'Guest access not allowed')
}

function unknownRoom(): MatrixError {
  return new MatrixError('M_NOT_FOUND', 'No server that we know is in the room')
}
