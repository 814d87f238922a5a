import { MatrixError } from '../../protocol/errors.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { claimServerNoticeRoom, getServerNoticeRoom } from '../../storage/tables/server-notice-rooms.ts'
import { getUser, insertUser } from '../../storage/tables/users.ts'
import type { Clock } from '../../util/clock.ts'
import { internalRequester } from '../accounts/internal-requester.ts'
import type { Requester } from '../accounts/requester.ts'
import type { EventCreator } from '../events/event-creator.ts'
import type { Profiles } from '../user-data/profiles.ts'
import type { Tags } from '../user-data/tags.ts'
import type { MembershipChanges } from './membership-changes.ts'
import type { Memberships } from './memberships.ts'
import type { RoomCreation } from './room-creation.ts'

const TAG = 'm.server_notice'
const USERS_DEFAULT = -10

/** `server_notices` of the configuration. */
export interface ServerNoticesOptions {
  /** Who writes; undefined where the server has no notices. */
  readonly sender: UserId | undefined
  readonly displayName: string | undefined
  readonly avatarUrl: string | undefined
  readonly roomName: string
  readonly roomAvatarUrl: string | undefined
  readonly roomTopic: string | undefined
  readonly joinsUsers: boolean
}

/** A notice to one user. */
export interface ServerNotice {
  readonly userId: UserId
  readonly type: string
  /** A state event where it is set. */
  readonly stateKey: string | undefined
  readonly content: JsonObject
  /** The same one sends a notice once. */
  readonly transactionId: string
}

interface ServerNoticesDeps {
  readonly database: Database
  readonly clock: Clock
  readonly memberships: Memberships
  readonly changes: Pick<MembershipChanges, 'invite' | 'join' | 'leave'>
  readonly creation: Pick<RoomCreation, 'create'>
  readonly events: Pick<EventCreator, 'send' | 'setState'>
  readonly profiles: Profiles
  readonly tags: Tags
  readonly serverName: ServerName
  readonly options: ServerNoticesOptions
}

/** Writes to users in the server's name, each in a room of their own. Spec: client-server-api § Server Notices; Synapse's docs/server_notices.md. */
export class ServerNotices {
  readonly #deps: ServerNoticesDeps

  constructor(deps: ServerNoticesDeps) {
    this.#deps = deps
  }

  /** Sends a notice. Throws 400 M_UNKNOWN where there are none, or for users of other servers; M_NOT_FOUND. */
  async send(notice: ServerNotice): Promise<EventId> {
    const { database, events, serverName, options } = this.#deps
    const { userId, type, stateKey, content, transactionId } = notice
    const { sender } = options
    if (sender === undefined) throw new MatrixError('M_UNKNOWN', 'Server notices are not enabled on this server', { status: 400 })
    if (serverNameOf(userId) !== serverName)
      throw new MatrixError('M_UNKNOWN', 'Server notices can only be sent to local users', { status: 400 })
    const user = await getUser(database, userId)
    if (!user || user.isDeactivated) throw new MatrixError('M_NOT_FOUND', 'User not found')
    const requester: Requester = { ...internalRequester(sender), isAdmin: true }
    await this.#dress(requester)
    const roomId = await this.#roomOf(requester, userId)
    return stateKey === undefined
      ? events.send(requester, { roomId, type, content, transactionId })
      : events.setState(requester, { roomId, type, stateKey, content })
  }

  /** Makes the account that writes, and gives it the name of the configuration. */
  async #dress(requester: Requester): Promise<void> {
    const { database, clock, profiles, options } = this.#deps
    const { userId } = requester
    if (!(await getUser(database, userId))) {
      const account = { passwordHash: undefined, isAdmin: false, isGuest: false, userType: undefined, appserviceId: undefined }
      try {
        await insertUser(database, { ...account, userId, createdTsMs: clock.nowMs() })
      } catch (error) {
        // Another process was first.
        if (!(await getUser(database, userId))) throw error
      }
    }
    const shown = await profiles.getNameAndAvatar(userId)
    const wanted = { displayname: options.displayName, avatar_url: options.avatarUrl }
    for (const field of ['displayname', 'avatar_url'] as const) {
      const value = wanted[field]
      if (value !== undefined && value !== '' && shown[field] !== value) await profiles.setField(requester, userId, field, value)
    }
  }

  async #roomOf(requester: Requester, userId: UserId): Promise<RoomId> {
    const { database, memberships, changes, options } = this.#deps
    const former = await getServerNoticeRoom(database, userId)
    if (former !== undefined && isIn(await memberships.getMembership(userId, former))) return former
    const roomId =
      former !== undefined && (await memberships.isJoined(requester.userId, former))
        ? former
        : await this.#claim(requester, userId, former)
    await this.#deps.tags.set({ userId, roomId, tag: TAG }, {})
    if (!isIn(await memberships.getMembership(userId, roomId))) await changes.invite(requester, { roomId, userId })
    if (options.joinsUsers) await changes.join(internalRequester(userId), roomId)
    return roomId
  }

  async #claim(requester: Requester, userId: UserId, former: RoomId | undefined): Promise<RoomId> {
    const made = await this.#create(requester)
    const roomId = await claimServerNoticeRoom(this.#deps.database, { userId, roomId: made, former })
    if (roomId !== made) await this.#deps.changes.leave(requester, made)
    return roomId
  }

  #create(requester: Requester): Promise<RoomId> {
    const { roomName, roomTopic, roomAvatarUrl } = this.#deps.options
    const avatar = { type: 'm.room.avatar', stateKey: '', content: { url: roomAvatarUrl ?? '' } }
    return this.#deps.creation.create(requester, {
      preset: 'private_chat',
      name: roomName,
      ...(roomTopic === undefined ? {} : { topic: roomTopic }),
      ...(roomAvatarUrl === undefined ? {} : { initialState: [avatar] }),
      powerLevelContentOverride: { users_default: USERS_DEFAULT },
      creationContent: { 'm.federate': false },
    })
  }
}

function isIn(membership: string | undefined): boolean {
  return membership === 'join' || membership === 'invite'
}
