import { MatrixError } from '../../protocol/errors.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { ServerName, UserId } from '../../protocol/ids.ts'
import type { Database, Queryable } from '../../storage/database.ts'
import { deleteLoginTokens } from '../../storage/tables/access-tokens.ts'
import { getSightsOfUser } from '../../storage/tables/devices.ts'
import type { SightRow } from '../../storage/tables/devices.ts'
import { deleteOpenIdTokens } from '../../storage/tables/openid-tokens.ts'
import { deleteThreepidSessions } from '../../storage/tables/threepid-sessions.ts'
import {
  deactivateUser,
  deletePendingDeactivation,
  getPendingDeactivations,
  getThreepids,
  getUser,
  getUserIdByThreepid,
  insertPendingDeactivation,
  updatePasswordHash,
  updateUserFlags,
} from '../../storage/tables/users.ts'
import type { ThreepidRow, UserRow } from '../../storage/tables/users.ts'
import type { CacheInvalidation } from '../../streams/cache-invalidation.ts'
import type { Background } from '../../util/background.ts'
import type { LastSeen } from '../devices/last-seen.ts'
import { ACCESS_TOKENS_CACHE } from './access-tokens.ts'
import { checkPassword } from './password-policy.ts'
import type { PasswordPolicy } from './password-policy.ts'
import type { Passwords } from './passwords.ts'
import type { Requester } from './requester.ts'
import type { ProvenThreepid } from './threepid-validation.ts'
import type { Sessions } from './sessions.ts'

const SIGHTS_MAX = 1000

/** What becomes of a closed account: its rooms are left, its data deleted. Must be idempotent: it runs again after a crash. */
export type OnDeactivated = (account: { readonly userId: UserId; readonly isErased: boolean }) => Promise<void>

/** What an administrator may set on an account. */
export type Moderation = { readonly isLocked: boolean } | { readonly isSuspended: boolean }

/** Accounts that exist: their passwords, their end, and what administrators decide on them. */
export class Accounts {
  readonly #database: Database
  readonly #caches: CacheInvalidation
  readonly #background: Background
  readonly #passwords: Passwords
  readonly #sessions: Sessions
  readonly #lastSeen: LastSeen
  readonly #serverName: ServerName
  readonly #passwordPolicy: PasswordPolicy
  readonly #onDeactivated: readonly OnDeactivated[]

  constructor(deps: {
    database: Database
    caches: CacheInvalidation
    background: Background
    passwords: Passwords
    sessions: Sessions
    lastSeen: LastSeen
    serverName: ServerName
    passwordPolicy: PasswordPolicy
    /** Read at each deactivation: `assemble` may add to the list after this is made. They run one after the other. */
    onDeactivated: readonly OnDeactivated[]
  }) {
    this.#database = deps.database
    this.#caches = deps.caches
    this.#background = deps.background
    this.#passwords = deps.passwords
    this.#sessions = deps.sessions
    this.#lastSeen = deps.lastSeen
    this.#serverName = deps.serverName
    this.#passwordPolicy = deps.passwordPolicy
    this.#onDeactivated = deps.onDeactivated
  }

  /** Takes up deactivations that a crash has left half done. */
  async start(): Promise<void> {
    for (const account of await getPendingDeactivations(this.#database)) this.#finishDeactivation(account)
  }

  /** Checks whether a password may be set. Throws M_WEAK_PASSWORD, M_INVALID_PARAM. */
  checkPassword(password: string): void {
    checkPassword(password, this.#passwordPolicy)
  }

  /** Sets a password; with `logoutDevices` all logins but the requester's own end in the same transaction. */
  async changePassword(requester: Requester, password: string, options: { logoutDevices: boolean }): Promise<void> {
    checkPassword(password, this.#passwordPolicy)
    const { userId } = requester
    const passwordHash = await this.#passwords.hash(password)
    const write = (tx: Queryable): Promise<unknown> =>
      Promise.all([updatePasswordHash(tx, userId, passwordHash), deleteLoginTokens(tx, userId)])
    if (options.logoutDevices) await this.#sessions.logoutAll(userId, { except: requester, alongside: write })
    else await this.#database.transaction('change_password', write)
  }

  /**
   * Sets the password of who has proven an address of the account and not the old password. Throws M_THREEPID_NOT_FOUND,
   * M_WEAK_PASSWORD.
   */
  async resetPassword(proven: ProvenThreepid, password: string, options: { logoutDevices: boolean }): Promise<void> {
    checkPassword(password, this.#passwordPolicy)
    const userId = await getUserIdByThreepid(this.#database, proven)
    if (userId === undefined) throw new MatrixError('M_THREEPID_NOT_FOUND', 'No account has this address')
    const passwordHash = await this.#passwords.hash(password)
    const write = (tx: Queryable): Promise<unknown> =>
      Promise.all([
        updatePasswordHash(tx, userId, passwordHash),
        deleteLoginTokens(tx, userId),
        deleteThreepidSessions(tx, [proven.sid]),
      ])
    if (options.logoutDevices) await this.#sessions.logoutAll(userId, { alongside: write })
    else await this.#database.transaction('reset_password', write)
  }

  /**
   * Closes an account for good: no token works when this settles. Rooms are left and data is deleted afterwards, also over
   * a restart.
   */
  async deactivate(userId: UserId, options: { isErased: boolean }): Promise<void> {
    const account = { userId, isErased: options.isErased }
    await this.#sessions.logoutAll(userId, {
      alongside: (tx) =>
        Promise.all([
          deactivateUser(tx, account),
          insertPendingDeactivation(tx, account),
          deleteLoginTokens(tx, userId),
          deleteOpenIdTokens(tx, userId),
        ]),
    })
    this.#finishDeactivation(account)
  }

  #finishDeactivation(account: { readonly userId: UserId; readonly isErased: boolean }): void {
    this.#background.run('finish_deactivation', async () => {
      for (const onDeactivated of this.#onDeactivated) await onDeactivated(account)
      await deletePendingDeactivation(this.#database, account.userId)
    })
  }

  /** Whether there is, or was, an account of this id. */
  async exists(userId: UserId): Promise<boolean> {
    return (await getUser(this.#database, userId)) !== undefined
  }

  /** E-mail addresses and phone numbers of the account. */
  getThreepids(userId: UserId): Promise<ThreepidRow[]> {
    return getThreepids(this.#database, userId)
  }

  /**
   * From where the user was seen, latest first. Throws M_FORBIDDEN for others than the user and administrators,
   * M_INVALID_PARAM.
   */
  async getSights(requester: Requester, userId: UserId): Promise<SightRow[]> {
    if (requester.userId !== userId && !requester.isAdmin) throw new MatrixError('M_FORBIDDEN', 'You are not a server admin')
    if (serverNameOf(userId) !== this.#serverName) throw new MatrixError('M_INVALID_PARAM', 'Can only whois a local user')
    await this.#lastSeen.flush()
    return getSightsOfUser(this.#database, userId, SIGHTS_MAX)
  }

  /**
   * Reads an account for moderation. The requester is known to be an administrator. Throws M_INVALID_PARAM, M_NOT_FOUND;
   * M_FORBIDDEN for other administrators. Spec: admin.yaml.
   */
  async getForModeration(userId: UserId): Promise<UserRow> {
    if (serverNameOf(userId) !== this.#serverName)
      throw new MatrixError('M_INVALID_PARAM', 'User does not belong to the local server')
    const user = await getUser(this.#database, userId)
    if (!user || user.isDeactivated) throw new MatrixError('M_NOT_FOUND', 'User not found')
    if (user.isAdmin) throw new MatrixError('M_FORBIDDEN', 'The target user is an administrator')
    return user
  }

  /** Locks, unlocks, suspends or unsuspends an account; in force at once. Throws like `getForModeration`. */
  async moderate(requester: Requester, userId: UserId, moderation: Moderation): Promise<void> {
    if (requester.userId === userId) throw new MatrixError('M_FORBIDDEN', 'You can not do this to yourself')
    await this.getForModeration(userId)
    await updateUserFlags(this.#database, userId, moderation)
    await this.#caches.forget(ACCESS_TOKENS_CACHE, [userId])
  }
}
