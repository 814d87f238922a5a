import type { LRUCache } from 'lru-cache'
import { MatrixError } from '../../protocol/errors.ts'
import type { UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { deletePredecessors, getTokenOwner, markAccessTokenUsed } from '../../storage/tables/access-tokens.ts'
import type { TokenOwnerRow } from '../../storage/tables/access-tokens.ts'
import type { CacheInvalidation } from '../../streams/cache-invalidation.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { Clock } from '../../util/clock.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'
import type { LastSeen } from '../devices/last-seen.ts'
import type { Authenticator, Requester } from './requester.ts'
import { hashToken } from './tokens.ts'

const TOKENS_MAX = 50_000
/** However a message between processes got lost, a dead token lives no longer than this. */
const CACHED_MS_MAX = 60_000
const TOKEN_CHARS_MAX = 2048
/** Name of the cache in the stream `caches`; its keys are user ids. */
export const ACCESS_TOKENS_CACHE = 'access_tokens'

interface CachedToken {
  readonly requester: Requester
  readonly owner: TokenOwnerRow
  readonly untilMs: number
}

/** A query under way, and what was forgotten since it began: what it brings may be older than that. */
interface Load {
  readonly forgottenUsers: Set<UserId>
  isAllForgotten: boolean
  promise: Promise<CachedToken> | undefined
}

/**
 * Turns access tokens into requesters: one query for a token that was not seen for a minute, none otherwise. Tokens of a
 * user are forgotten when the user's devices change (every logout writes the stream `device_lists`) or when the stream
 * `caches` says so (locked, suspended, deactivated, made an administrator …).
 */
export class AccessTokens implements Authenticator {
  readonly #database: Database
  readonly #caches: CacheInvalidation
  readonly #clock: Clock
  readonly #lastSeen: LastSeen
  readonly #tracksPuppeteers: boolean
  readonly #tokensByUser = new Map<UserId, Set<string>>()
  readonly #cache: LRUCache<string, CachedToken>
  /** The newest query under way for each token; later requests join it. */
  readonly #joinable = new Map<string, Load>()
  readonly #loads = new Set<Load>()

  constructor(deps: {
    database: Database
    hub: StreamHub
    caches: CacheInvalidation
    clock: Clock
    lastSeen: LastSeen
    tracksPuppeteers: boolean
  }) {
    this.#database = deps.database
    this.#caches = deps.caches
    this.#clock = deps.clock
    this.#lastSeen = deps.lastSeen
    this.#tracksPuppeteers = deps.tracksPuppeteers
    this.#cache = cacheOfEntries(TOKENS_MAX, {
      onRemoved: (cached, token) => this.#unindex(cached.requester.userId, token),
    })
    deps.hub.onRow('device_lists', ({ userId }) => this.forgetUser(userId as UserId))
    deps.hub.onReset('device_lists', () => this.#forgetAll())
    deps.caches.onForget(ACCESS_TOKENS_CACHE, (userIds) => {
      if (userIds) for (const userId of userIds) this.forgetUser(userId as UserId)
      else this.#forgetAll()
    })
  }

  async authenticate(
    token: string,
    seen: { remoteAddress: string; userAgent: string | undefined },
    options?: { isLockedAllowed?: boolean },
  ): Promise<Requester> {
    const nowMs = this.#clock.nowMs()
    const known = this.#cache.get(token)
    const { requester, owner } = known && known.untilMs > nowMs ? known : await this.#load(token)
    if (owner.expiresTsMs !== null && owner.expiresTsMs <= nowMs) throw unknownToken('Access token has expired', true)
    if (owner.isDeactivated) throw new MatrixError('M_USER_DEACTIVATED', 'This account has been deactivated')
    if (owner.isLocked && !options?.isLockedAllowed) {
      throw new MatrixError('M_USER_LOCKED', 'This account has been locked', { extra: { soft_logout: true } })
    }
    if (owner.puppeteer === null || this.#tracksPuppeteers) this.#lastSeen.note(requester, seen)
    return requester
  }

  #load(token: string): Promise<CachedToken> {
    const underWay = this.#joinable.get(token)
    if (underWay?.promise && !underWay.isAllForgotten && underWay.forgottenUsers.size === 0) return underWay.promise
    const load: Load = { forgottenUsers: new Set(), isAllForgotten: false, promise: undefined }
    load.promise = this.#read(token, load).finally(() => {
      this.#loads.delete(load)
      if (this.#joinable.get(token) === load) this.#joinable.delete(token)
    })
    this.#joinable.set(token, load)
    this.#loads.add(load)
    return load.promise
  }

  async #read(token: string, load: Load): Promise<CachedToken> {
    if (token.length > TOKEN_CHARS_MAX) throw unknownToken('Unrecognised access token', false)
    const owner = await getTokenOwner(this.#database, hashToken(token))
    if (!owner) throw unknownToken('Unrecognised access token', false)
    if (owner.refreshTokenId !== null && !owner.isUsed) await this.#noteFirstUse(owner, owner.refreshTokenId)
    const cached: CachedToken = { requester: requesterOf(owner), owner, untilMs: this.#clock.nowMs() + CACHED_MS_MAX }
    if (!load.isAllForgotten && !load.forgottenUsers.has(owner.userId)) {
      this.#cache.set(token, cached)
      this.#index(owner.userId, token)
    }
    return cached
  }

  /**
   * The client has got its new tokens, so the ones they were exchanged for end. Spec: client-server-api § Refreshing access
   * tokens.
   */
  async #noteFirstUse({ accessTokenId, userId }: TokenOwnerRow, refreshTokenId: number): Promise<void> {
    await this.#database.transaction('use_refreshed_token', async (tx) => {
      await Promise.all([markAccessTokenUsed(tx, accessTokenId), deletePredecessors(tx, refreshTokenId)])
    })
    await this.#caches.forget(ACCESS_TOKENS_CACHE, [userId])
  }

  #index(userId: UserId, token: string): void {
    const tokens = this.#tokensByUser.get(userId)
    if (tokens) tokens.add(token)
    else this.#tokensByUser.set(userId, new Set([token]))
  }

  #unindex(userId: UserId, token: string): void {
    const tokens = this.#tokensByUser.get(userId)
    if (tokens?.delete(token) && tokens.size === 0) this.#tokensByUser.delete(userId)
  }

  /** Forgets the user's tokens in this process. */
  forgetUser(userId: UserId): void {
    for (const load of this.#loads) load.forgottenUsers.add(userId)
    // Deleting takes tokens out of this very set, which iteration over a set allows.
    for (const token of this.#tokensByUser.get(userId) ?? []) this.#cache.delete(token)
  }

  #forgetAll(): void {
    for (const load of this.#loads) load.isAllForgotten = true
    this.#cache.clear()
  }
}

function unknownToken(message: string, isSoftLogout: boolean): MatrixError {
  return new MatrixError('M_UNKNOWN_TOKEN', message, { extra: { soft_logout: isSoftLogout } })
}

function requesterOf(owner: TokenOwnerRow): Requester {
  return {
    userId: owner.userId,
    deviceId: owner.deviceId ?? undefined,
    accessTokenId: owner.accessTokenId,
    isGuest: owner.isGuest,
    isAdmin: owner.isAdmin,
    isSuspended: owner.isSuspended,
    isShadowBanned: owner.isShadowBanned,
    isRateLimited: owner.isRateLimited,
    ...(owner.messagesPerSecond === null
      ? {}
      : { messageLimit: { perSecond: owner.messagesPerSecond, burstCount: owner.burstCount ?? 0 } }),
  }
}
