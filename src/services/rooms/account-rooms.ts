import { MatrixError } from '../../protocol/errors.ts'
import { localpartOf, makeUserId, parseRoomAlias, serverNameOf } from '../../protocol/ids.ts'
import type { RoomAlias, RoomId, ServerName, UserId } from '../../protocol/ids.ts'
import { internalRequester } from '../accounts/internal-requester.ts'
import type { RoomAliases } from './aliases.ts'
import type { MembershipChanges } from './membership-changes.ts'
import type { Memberships } from './memberships.ts'
import type { RoomCreation } from './room-creation.ts'
import type { RoomPreset } from './room-creation-state.ts'

export interface AccountRoomsOptions {
  readonly serverName: ServerName
  readonly autoJoinRooms: readonly string[]
  readonly autocreates: boolean
  readonly autocreatesFederated: boolean
  readonly autocreatePreset: RoomPreset
  /** Who makes the rooms and invites to them; the new user where undefined. */
  readonly autoJoinLocalpart: string | undefined
  readonly guestsJoin: boolean
}

/** What accounts mean for rooms: new ones join the welcome rooms, closed ones leave all. */
export class AccountRooms {
  readonly #aliases: RoomAliases
  readonly #changes: MembershipChanges
  readonly #memberships: Memberships
  readonly #creation: RoomCreation
  readonly #options: AccountRoomsOptions
  readonly #onError: (message: string, fields: Record<string, unknown>) => void
  /** Rooms that are being made: accounts registered at the same time must find one room, not two. */
  readonly #creating = new Map<RoomAlias, Promise<RoomId>>()

  constructor(deps: {
    aliases: RoomAliases
    changes: MembershipChanges
    memberships: Memberships
    creation: RoomCreation
    options: AccountRoomsOptions
    onError: (message: string, fields: Record<string, unknown>) => void
  }) {
    this.#aliases = deps.aliases
    this.#changes = deps.changes
    this.#memberships = deps.memberships
    this.#creation = deps.creation
    this.#options = deps.options
    this.#onError = deps.onError
  }

  /** Joins a new account to the rooms of `auto_join_rooms`. A room that refuses does not fail the registration. */
  async joinWelcomeRooms(account: { readonly userId: UserId; readonly isGuest: boolean }): Promise<void> {
    if (account.isGuest && !this.#options.guestsJoin) return
    for (const name of this.#options.autoJoinRooms) {
      try {
        await this.#joinWelcomeRoom(account.userId, parseRoomAlias(name))
      } catch (error) {
        this.#onError('joining a new account to a room failed', { room: name, user: account.userId, error })
      }
    }
  }

  async #joinWelcomeRoom(userId: UserId, alias: RoomAlias): Promise<void> {
    const known = await this.#aliases.getRoomId(alias)
    const roomId = known ?? (await this.#createWelcomeRoom(userId, alias))
    if (roomId === undefined || (await this.#memberships.isJoined(userId, roomId))) return
    const host = this.#host(userId)
    if (host !== userId && this.#options.autocreatePreset !== 'public_chat' && (await this.#memberships.isJoined(host, roomId))) {
      await this.#changes.invite(internalRequester(host), { roomId, userId })
    }
    await this.#changes.join(internalRequester(userId), roomId)
  }

  #host(userId: UserId): UserId {
    const { autoJoinLocalpart, serverName } = this.#options
    return autoJoinLocalpart === undefined ? userId : makeUserId(autoJoinLocalpart, serverName)
  }

  async #createWelcomeRoom(userId: UserId, alias: RoomAlias): Promise<RoomId | undefined> {
    const { autocreates, autocreatesFederated, autocreatePreset, serverName } = this.#options
    if (!autocreates || serverNameOf(alias) !== serverName) return undefined
    const running = this.#creating.get(alias)
    if (running) return running
    const create = async (): Promise<RoomId> =>
      // Another process may have been quicker.
      (await this.#aliases.getRoomId(alias)) ??
      this.#creation.create(internalRequester(this.#host(userId)), {
        aliasName: localpartOf(alias),
        preset: autocreatePreset,
        creationContent: autocreatesFederated ? {} : { 'm.federate': false },
      })
    const creating = this.#aliases.whileLocked(alias, create)
    this.#creating.set(alias, creating)
    return creating.finally(() => this.#creating.delete(alias))
  }

  /** Takes a closed account out of its rooms, invites and knocks. Idempotent. */
  async leaveAll(userId: UserId): Promise<void> {
    const requester = internalRequester(userId)
    const rooms = [...(await this.#memberships.getOfUser(userId))]
    for (const [roomId, { membership }] of rooms) {
      if (membership !== 'join' && membership !== 'invite' && membership !== 'knock') continue
      try {
        await this.#changes.leave(requester, roomId)
      } catch (error) {
        if (!(error instanceof MatrixError)) throw error
        this.#onError('a closed account could not leave a room', { room: roomId, user: userId, error })
      }
    }
  }
}
