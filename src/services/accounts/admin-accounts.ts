import { MatrixError, invalidParam } from '../../protocol/errors.ts'
import { localpartOf, serverNameOf } from '../../protocol/ids.ts'
import type { ServerName, UserId } from '../../protocol/ids.ts'
import { isUniqueViolation } from '../../storage/database.ts'
import type { Database } from '../../storage/database.ts'
import { insertAccessToken } from '../../storage/tables/access-tokens.ts'
import {
  allowKeyReplacement,
  getAdminUser,
  getAdminUserPage,
  getExternalIds,
  getUserIdByExternalId,
  reactivateUser,
  replaceExternalIds,
  setRatelimitOverride,
  updateUserType,
} from '../../storage/tables/admin-users.ts'
import type { AdminUserRow, ExternalId, RatelimitOverride } from '../../storage/tables/admin-users.ts'
import { deleteThreepid, getThreepids, insertThreepids, updatePasswordHash, updateUserFlags } from '../../storage/tables/users.ts'
import type { ThreepidRow } from '../../storage/tables/users.ts'
import type { CacheInvalidation } from '../../streams/cache-invalidation.ts'
import type { Clock } from '../../util/clock.ts'
import type { Random } from '../../util/random.ts'
import type { Profiles } from '../user-data/profiles.ts'
import { ACCESS_TOKENS_CACHE } from './access-tokens.ts'
import type { Accounts } from './accounts.ts'
import { internalRequester } from './internal-requester.ts'
import type { Passwords } from './passwords.ts'
import type { Registration } from './registration.ts'
import type { Requester } from './requester.ts'
import type { Sessions } from './sessions.ts'
import { hashToken, makeToken } from './tokens.ts'

const KEY_REPLACEMENT_MS = 10 * 60_000

/** What an administrator may say of an account; undefined leaves it as it is. */
export interface AccountChange {
  readonly password?: string | undefined
  readonly logoutDevices?: boolean | undefined
  readonly displayName?: string | undefined
  readonly avatarUrl?: string | undefined
  readonly threepids?: readonly { readonly medium: string; readonly address: string }[] | undefined
  readonly externalIds?: readonly ExternalId[] | undefined
  readonly isAdmin?: boolean | undefined
  readonly isDeactivated?: boolean | undefined
  readonly isLocked?: boolean | undefined
  readonly isSuspended?: boolean | undefined
  readonly userType?: string | null | undefined
}

/** An account with all that belongs to it. */
export interface AccountDetails {
  readonly user: AdminUserRow
  readonly threepids: readonly ThreepidRow[]
  readonly externalIds: readonly ExternalId[]
}

/** What administrators see of accounts and do to them. As Synapse's docs/admin_api/user_admin_api.md. */
export class AdminAccounts {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random
  readonly #caches: CacheInvalidation
  readonly #accounts: Accounts
  readonly #registration: Registration
  readonly #passwords: Passwords
  readonly #sessions: Sessions
  readonly #profiles: Profiles
  readonly #serverName: ServerName
  readonly getPage: (
    filter: Parameters<typeof getAdminUserPage>[1],
    page: Parameters<typeof getAdminUserPage>[2],
  ) => ReturnType<typeof getAdminUserPage>

  constructor(deps: {
    database: Database
    clock: Clock
    random: Random
    caches: CacheInvalidation
    accounts: Accounts
    registration: Registration
    passwords: Passwords
    sessions: Sessions
    profiles: Profiles
    serverName: ServerName
  }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#random = deps.random
    this.#caches = deps.caches
    this.#accounts = deps.accounts
    this.#registration = deps.registration
    this.#passwords = deps.passwords
    this.#sessions = deps.sessions
    this.#profiles = deps.profiles
    this.#serverName = deps.serverName
    this.getPage = (filter, page) => getAdminUserPage(deps.database, filter, page)
  }

  /** Reads an account of ours. Throws 400 M_UNKNOWN for users of other servers, M_NOT_FOUND. */
  async get(userId: UserId): Promise<AdminUserRow> {
    this.#assertOurs(userId)
    const user = await getAdminUser(this.#database, userId)
    if (!user) throw new MatrixError('M_NOT_FOUND', 'User not found')
    return user
  }

  /** Reads an account with all that belongs to it. Throws like `get`. */
  async getDetails(userId: UserId): Promise<AccountDetails> {
    const user = await this.get(userId)
    const [threepids, externalIds] = await Promise.all([
      getThreepids(this.#database, userId),
      getExternalIds(this.#database, userId),
    ])
    return { user, threepids, externalIds }
  }

  /** Makes an account or changes it. Returns whether it was made. Throws M_INVALID_PARAM, M_USER_IN_USE, M_UNKNOWN. */
  async put(requester: Requester, userId: UserId, change: AccountChange): Promise<boolean> {
    this.#assertOurs(userId)
    if (change.isAdmin === false && requester.userId === userId)
      throw new MatrixError('M_UNKNOWN', 'You may not demote yourself.', { status: 400 })
    if (change.password !== undefined) this.#accounts.checkPassword(change.password)
    const known = await getAdminUser(this.#database, userId)
    if (!known) await this.#create(userId, change)
    else await this.#change(requester, known, change)
    await this.#set(requester, userId, change)
    return !known
  }

  async #create(userId: UserId, change: AccountChange): Promise<void> {
    await this.#registration.createAccount({
      localpart: localpartOf(userId),
      password: change.password,
      displayName: change.displayName,
      isAdmin: change.isAdmin ?? false,
      userType: change.userType ?? undefined,
      device: undefined,
    })
  }

  async #change(requester: Requester, known: AdminUserRow, change: AccountChange): Promise<void> {
    const { userId } = known
    if (change.isDeactivated === false && known.isDeactivated) await reactivateUser(this.#database, userId)
    if (change.password !== undefined) await this.resetPassword(requester, userId, change.password, change.logoutDevices ?? true)
    if (change.isAdmin !== undefined) await this.setAdmin(requester, userId, change.isAdmin)
    if (change.userType !== undefined) await updateUserType(this.#database, userId, change.userType)
    if (change.displayName !== undefined) await this.#profiles.setField(requester, userId, 'displayname', change.displayName)
  }

  /** What is set the same way on old and new accounts. */
  async #set(requester: Requester, userId: UserId, change: AccountChange): Promise<void> {
    if (change.avatarUrl !== undefined) await this.#profiles.setField(requester, userId, 'avatar_url', change.avatarUrl)
    if (change.threepids) await this.#replaceThreepids(userId, change.threepids)
    if (change.externalIds) await this.#replaceExternalIds(userId, change.externalIds)
    if (change.isLocked !== undefined || change.isSuspended !== undefined) {
      const flags = {
        ...(change.isLocked === undefined ? {} : { isLocked: change.isLocked }),
        ...(change.isSuspended === undefined ? {} : { isSuspended: change.isSuspended }),
      }
      await this.setFlags(userId, flags)
    }
    if (change.isDeactivated === true) await this.#accounts.deactivate(userId, { isErased: false })
  }

  async #replaceThreepids(userId: UserId, wanted: readonly { medium: string; address: string }[]): Promise<void> {
    const nowMs = this.#clock.nowMs()
    const isSame = (one: { medium: string; address: string }, other: { medium: string; address: string }): boolean =>
      one.medium === other.medium && one.address === other.address
    const known = await getThreepids(this.#database, userId)
    try {
      await this.#database.transaction('replace_threepids', async (tx) => {
        for (const one of known) if (!wanted.some((other) => isSame(one, other))) await deleteThreepid(tx, userId, one)
        const added = wanted.filter((one, index) => wanted.findIndex((other) => isSame(one, other)) === index)
        await insertThreepids(
          tx,
          userId,
          added.map((one) => ({ ...one, validatedTsMs: nowMs })),
          nowMs,
        )
      })
    } catch (error) {
      if (isUniqueViolation(error))
        throw new MatrixError('M_THREEPID_IN_USE', 'Another account has this address', { status: 400, cause: error })
      throw error
    }
  }

  async #replaceExternalIds(userId: UserId, externalIds: readonly ExternalId[]): Promise<void> {
    try {
      await this.#database.transaction('replace_external_ids', (tx) => replaceExternalIds(tx, userId, externalIds))
    } catch (error) {
      if (isUniqueViolation(error))
        throw new MatrixError('M_UNKNOWN', 'external_id is already in use.', { status: 409, cause: error })
      throw error
    }
  }

  /** Sets a password. Throws like `get`; M_WEAK_PASSWORD. */
  async resetPassword(requester: Requester, userId: UserId, password: string, logsOut: boolean): Promise<void> {
    await this.get(userId)
    this.#accounts.checkPassword(password)
    const passwordHash = await this.#passwords.hash(password)
    const write = (tx: Parameters<typeof updatePasswordHash>[0]): Promise<unknown> => updatePasswordHash(tx, userId, passwordHash)
    if (!logsOut) return void (await write(this.#database))
    await this.#sessions.logoutAll(userId, { alongside: write, ...(requester.userId === userId ? { except: requester } : {}) })
  }

  /** Makes a user an administrator, or not. Throws like `get`; 400 M_UNKNOWN for oneself. */
  async setAdmin(requester: Requester, userId: UserId, isAdmin: boolean): Promise<void> {
    await this.get(userId)
    if (requester.userId === userId && !isAdmin)
      throw new MatrixError('M_UNKNOWN', 'You may not demote yourself.', { status: 400 })
    await this.setFlags(userId, { isAdmin })
  }

  /** Sets what is decided on an account; in force at once. */
  async setFlags(userId: UserId, flags: Parameters<typeof updateUserFlags>[2]): Promise<void> {
    await updateUserFlags(this.#database, userId, flags)
    await this.#caches.forget(ACCESS_TOKENS_CACHE, [userId])
  }

  /** Gives an account limits of its own, or the usual ones. Throws like `get`. */
  async setRatelimit(userId: UserId, override: RatelimitOverride | undefined): Promise<void> {
    await this.get(userId)
    await setRatelimitOverride(this.#database, userId, override)
    await this.#caches.forget(ACCESS_TOKENS_CACHE, [userId])
  }

  /** Makes a token without a device with which the administrator acts as the user. Throws like `get`; M_FORBIDDEN, M_INVALID_PARAM. */
  async logInAs(requester: Requester, userId: UserId, validUntilTsMs: number | undefined): Promise<string> {
    const user = await this.get(userId)
    if (user.userId === requester.userId)
      throw new MatrixError('M_UNKNOWN', 'Cannot use admin API to login as self', { status: 400 })
    if (user.isDeactivated) throw invalidParam('The account is deactivated')
    const createdTsMs = this.#clock.nowMs()
    const token = makeToken('syt', userId, this.#random)
    await insertAccessToken(this.#database, {
      tokenHash: hashToken(token),
      userId,
      deviceId: undefined,
      createdTsMs,
      expiresTsMs: validUntilTsMs,
      puppeteer: requester.userId,
    })
    return token
  }

  /** Lets a user replace the cross-signing keys without proof, for ten minutes. Throws M_NOT_FOUND where there are none. Returns until when. */
  async allowKeyReplacement(userId: UserId): Promise<number> {
    await this.get(userId)
    const untilMs = this.#clock.nowMs() + KEY_REPLACEMENT_MS
    if (!(await allowKeyReplacement(this.#database, userId, untilMs)))
      throw new MatrixError('M_NOT_FOUND', 'User has no master cross-signing key')
    return untilMs
  }

  /** Finds whose name at an identity provider it is. Throws M_NOT_FOUND. */
  async findByExternalId(key: ExternalId): Promise<UserId> {
    const userId = await getUserIdByExternalId(this.#database, key)
    if (userId === undefined) throw new MatrixError('M_NOT_FOUND', 'User not found')
    return userId
  }

  /** Acts for one of our users. Throws like `get`. */
  async actFor(userId: UserId): Promise<Requester> {
    await this.get(userId)
    return internalRequester(userId)
  }

  #assertOurs(userId: UserId): void {
    if (serverNameOf(userId) !== this.#serverName)
      throw new MatrixError('M_UNKNOWN', 'Can only look up local users', { status: 400 })
  }
}
