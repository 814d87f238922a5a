import { MatrixError } from '../../protocol/errors.ts'
import type { DeviceId, UserId } from '../../protocol/ids.ts'
import type { Database, Queryable } from '../../storage/database.ts'
import {
  deleteAccessToken,
  deletePredecessors,
  deleteTokensOfDevices,
  deleteTokensWithoutDevice,
  insertAccessToken,
  insertTokenPair,
  lockDeviceOfRefreshToken,
  lockRefreshToken,
  replaceSuccessor,
} from '../../storage/tables/access-tokens.ts'
import type { NewAccessToken, NewRefreshToken } from '../../storage/tables/access-tokens.ts'
import { getDevicesOfUser, insertDevice } from '../../storage/tables/devices.ts'
import { getUser } from '../../storage/tables/users.ts'
import type { CacheInvalidation } from '../../streams/cache-invalidation.ts'
import type { Clock } from '../../util/clock.ts'
import type { Random } from '../../util/random.ts'
import { checkDeviceName } from '../devices/devices.ts'
import type { Devices } from '../devices/devices.ts'
import { ACCESS_TOKENS_CACHE } from './access-tokens.ts'
import type { Requester } from './requester.ts'
import { hashToken, makeToken } from './tokens.ts'

const DEVICE_ID_LETTERS = 10

/** How long logins and tokens last; undefined is for ever. Synapse's options of the same names. */
export interface SessionLifetimes {
  readonly sessionLifetimeMs: number | undefined
  /** Undefined: there are no refresh tokens. */
  readonly refreshableAccessTokenLifetimeMs: number | undefined
  readonly refreshTokenLifetimeMs: number | undefined
  readonly nonrefreshableAccessTokenLifetimeMs: number | undefined
}

/** Which device a login is for. */
export interface DeviceRequest {
  /** Undefined makes a new device. A known one keeps its name, and its old tokens end. */
  readonly deviceId: DeviceId | undefined
  readonly displayName: string | undefined
  readonly wantsRefreshToken: boolean
}

/** What a client gets when it logs in. */
export interface Session {
  readonly userId: UserId
  readonly deviceId: DeviceId
  readonly accessToken: string
  readonly refreshToken: string | undefined
  readonly expiresInMs: number | undefined
}

/** Logins: makes, renews and ends the pairs of a device and its tokens. */
export class Sessions {
  readonly #database: Database
  readonly #devices: Devices
  readonly #caches: CacheInvalidation
  readonly #clock: Clock
  readonly #random: Random
  readonly #lifetimes: SessionLifetimes

  constructor(deps: {
    database: Database
    devices: Devices
    caches: CacheInvalidation
    clock: Clock
    random: Random
    lifetimes: SessionLifetimes
  }) {
    this.#database = deps.database
    this.#devices = deps.devices
    this.#caches = deps.caches
    this.#clock = deps.clock
    this.#random = deps.random
    this.#lifetimes = deps.lifetimes
  }

  /** Logs a user in on a device. `alongside` issues further statements of the same transaction, before ours. */
  async create(userId: UserId, request: DeviceRequest, alongside?: (tx: Queryable) => Promise<unknown>): Promise<Session> {
    if (request.displayName !== undefined) checkDeviceName(request.displayName)
    const nowMs = this.#clock.nowMs()
    const deviceId = request.deviceId ?? (this.#random.letters(DEVICE_ID_LETTERS).toUpperCase() as DeviceId)
    const { session, access, refresh } = this.#makeTokens(userId, deviceId, {
      wantsRefreshToken: request.wantsRefreshToken,
      nowMs,
    })
    await this.#devices.commitChange(userId, (tx) =>
      Promise.all([
        alongside?.(tx),
        request.deviceId === undefined ? undefined : deleteTokensOfDevices(tx, userId, [deviceId]),
        insertDevice(tx, { userId, deviceId, displayName: request.displayName, createdTsMs: nowMs }),
        refresh ? insertTokenPair(tx, access, refresh) : insertAccessToken(tx, access),
      ]),
    )
    return session
  }

  #makeTokens(
    userId: UserId,
    deviceId: DeviceId,
    options: { wantsRefreshToken: boolean; nowMs: number; sessionExpiresTsMs?: number | undefined },
  ): { session: Session; access: NewAccessToken; refresh: NewRefreshToken | undefined } {
    const { nowMs } = options
    const lifetimes = this.#lifetimes
    const isRefreshable = options.wantsRefreshToken && lifetimes.refreshableAccessTokenLifetimeMs !== undefined
    const sessionExpiresTsMs = options.sessionExpiresTsMs ?? after(nowMs, lifetimes.sessionLifetimeMs)
    const lifetimeMs = isRefreshable ? lifetimes.refreshableAccessTokenLifetimeMs : lifetimes.nonrefreshableAccessTokenLifetimeMs
    const expiresTsMs = earlier(after(nowMs, lifetimeMs), sessionExpiresTsMs)
    const accessToken = makeToken('syt', userId, this.#random)
    const refreshToken = isRefreshable ? makeToken('syr', userId, this.#random) : undefined
    const access = { tokenHash: hashToken(accessToken), userId, deviceId, createdTsMs: nowMs, expiresTsMs }
    const expiresInMs = expiresTsMs === undefined ? undefined : expiresTsMs - nowMs
    return {
      session: { userId, deviceId, accessToken, refreshToken, expiresInMs },
      access,
      refresh:
        refreshToken === undefined
          ? undefined
          : {
              tokenHash: hashToken(refreshToken),
              expiresTsMs: after(nowMs, lifetimes.refreshTokenLifetimeMs),
              sessionExpiresTsMs,
            },
    }
  }

  /**
   * Exchanges a refresh token for a new pair. The old one stays valid until the new pair is first used, so that a client
   * which never got the answer may ask again. Throws M_UNKNOWN_TOKEN. Spec: refresh.yaml.
   */
  async refresh(refreshToken: string): Promise<Session> {
    const tokenHash = hashToken(refreshToken)
    return this.#database.transaction('refresh_tokens', async (tx) => {
      const nowMs = this.#clock.nowMs()
      const isDeviceThere = await lockDeviceOfRefreshToken(tx, tokenHash)
      const known = isDeviceThere ? await lockRefreshToken(tx, tokenHash) : undefined
      if (!known)
        throw new MatrixError('M_UNKNOWN_TOKEN', 'The refresh token is unknown or was used already', {
          extra: { soft_logout: false },
        })
      const expiresTsMs = earlier(known.expiresTsMs ?? undefined, known.sessionExpiresTsMs ?? undefined)
      if (expiresTsMs !== undefined && expiresTsMs <= nowMs) {
        throw new MatrixError('M_UNKNOWN_TOKEN', 'The refresh token has expired', { extra: { soft_logout: true } })
      }
      const user = await getUser(tx, known.userId)
      if (!user || user.isDeactivated)
        throw new MatrixError('M_UNKNOWN_TOKEN', 'The account is closed', { extra: { soft_logout: false } })
      if (user.isLocked) throw new MatrixError('M_USER_LOCKED', 'This account has been locked', { extra: { soft_logout: true } })
      const { session, access, refresh } = this.#makeTokens(known.userId, known.deviceId, {
        wantsRefreshToken: true,
        nowMs,
        sessionExpiresTsMs: known.sessionExpiresTsMs ?? undefined,
      })
      if (!refresh) {
        // An admin has switched refreshing off meanwhile: this is the last exchange.
        await Promise.all([deleteTokensOfDevices(tx, known.userId, [known.deviceId]), insertAccessToken(tx, access)])
        return session
      }
      const nextId = await insertTokenPair(tx, access, refresh)
      await Promise.all([deletePredecessors(tx, known.refreshTokenId), replaceSuccessor(tx, known.refreshTokenId, nextId)])
      return session
    })
  }

  /** Ends the requester's login: its device with all tokens, or a token that has no device. */
  async logout(requester: Requester): Promise<void> {
    if (requester.deviceId !== undefined) return this.#devices.delete(requester.userId, [requester.deviceId])
    await deleteAccessToken(this.#database, requester.accessTokenId)
    await this.#caches.forget(ACCESS_TOKENS_CACHE, [requester.userId])
  }

  /**
   * Ends all logins of a user, but for the excepted one. `alongside` issues further statements of the same transaction,
   * before ours.
   */
  async logoutAll(
    userId: UserId,
    options: { except?: Requester; alongside?: (tx: Queryable) => Promise<unknown> } = {},
  ): Promise<void> {
    const { except, alongside } = options
    const devices = await getDevicesOfUser(this.#database, userId)
    const deviceIds = devices.map((device) => device.deviceId).filter((deviceId) => deviceId !== except?.deviceId)
    await this.#devices.commitChange(userId, (tx) =>
      Promise.all([
        alongside?.(tx),
        this.#devices.deleteWithin(tx, userId, deviceIds),
        deleteTokensWithoutDevice(tx, userId, except?.accessTokenId),
      ]),
    )
  }
}

function after(nowMs: number, lifetimeMs: number | undefined): number | undefined {
  return lifetimeMs === undefined ? undefined : nowMs + lifetimeMs
}

function earlier(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return Math.min(a, b)
}
