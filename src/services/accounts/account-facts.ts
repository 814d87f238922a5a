import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import {
  countInvitesSent,
  countRoomsJoined,
  getMembershipsOfAccount,
  getRatelimitOverride,
  getRoomSizes,
} from '../../storage/tables/admin-users.ts'
import type { RatelimitOverride } from '../../storage/tables/admin-users.ts'
import {
  deleteRegistrationToken,
  getRegistrationToken,
  getRegistrationTokens,
  insertRegistrationToken,
  updateRegistrationToken,
} from '../../storage/tables/registration-tokens.ts'
import type { RegistrationTokenRow } from '../../storage/tables/registration-tokens.ts'
import { getExperimentalFeatures, upsertExperimentalFeatures } from '../../storage/tables/experimental-features.ts'
import { getMediaUsers } from '../../storage/tables/media-statistics.ts'
import { getUserIdByThreepid } from '../../storage/tables/users.ts'
import type { Clock } from '../../util/clock.ts'

const LARGEST_ROOMS = 10

/** What administrators look up of accounts, rooms and registration tokens, and nobody else. As Synapse's docs/admin_api. */
export class AccountFacts {
  readonly #database: Database
  readonly #clock: Clock

  constructor(deps: { database: Database; clock: Clock }) {
    this.#database = deps.database
    this.#clock = deps.clock
  }

  getRatelimit(userId: UserId): Promise<RatelimitOverride | undefined> {
    return getRatelimitOverride(this.#database, userId)
  }

  findByThreepid(threepid: { readonly medium: string; readonly address: string }): Promise<UserId | undefined> {
    return getUserIdByThreepid(this.#database, threepid)
  }

  /** The rooms that the user is or was in. */
  getMemberships(userId: UserId): Promise<readonly { readonly roomId: RoomId; readonly membership: string }[]> {
    return getMembershipsOfAccount(this.#database, userId)
  }

  /** Invites since a time. */
  countInvites(userId: UserId, sinceTsMs: number): Promise<number> {
    return countInvitesSent(this.#database, userId, sinceTsMs)
  }

  /** Rooms that the user joined since a time. */
  countJoins(userId: UserId, sinceTsMs: number): Promise<number> {
    return countRoomsJoined(this.#database, userId, sinceTsMs)
  }

  /** The rooms that take most room in the database, in bytes. */
  getLargestRooms(): Promise<readonly { readonly roomId: RoomId; readonly bytes: number }[]> {
    return getRoomSizes(this.#database, LARGEST_ROOMS)
  }

  /** What an administrator has switched for the user, by feature. */
  async getFeatures(userId: UserId): Promise<ReadonlyMap<string, boolean>> {
    const rows = await getExperimentalFeatures(this.#database, userId)
    return new Map(rows.map(({ feature, isEnabled }) => [feature, isEnabled]))
  }

  setFeatures(userId: UserId, features: Readonly<Record<string, boolean>>): Promise<void> {
    return upsertExperimentalFeatures(this.#database, userId, features)
  }

  /** Who has uploaded how much. */
  getMediaUsers(
    filter: Parameters<typeof getMediaUsers>[1],
    page: Parameters<typeof getMediaUsers>[2],
  ): ReturnType<typeof getMediaUsers> {
    return getMediaUsers(this.#database, filter, page)
  }

  getTokens(isValid: boolean | undefined): Promise<readonly RegistrationTokenRow[]> {
    return getRegistrationTokens(this.#database, { isValid, nowMs: this.#clock.nowMs() })
  }

  getToken(token: string): Promise<RegistrationTokenRow | undefined> {
    return getRegistrationToken(this.#database, token)
  }

  /** Adds a token. Returns false where there is one of that name. */
  addToken(token: Parameters<typeof insertRegistrationToken>[1]): Promise<boolean> {
    return insertRegistrationToken(this.#database, token)
  }

  /** Changes a token; undefined where there is none. */
  changeToken(token: string, change: Parameters<typeof updateRegistrationToken>[2]): Promise<RegistrationTokenRow | undefined> {
    return updateRegistrationToken(this.#database, token, change)
  }

  /** Deletes a token. Returns whether it was there. */
  deleteToken(token: string): Promise<boolean> {
    return deleteRegistrationToken(this.#database, token)
  }
}
