import type { RateLimit } from '../../http/rate-limiter.ts'
import type { DeviceId, UserId } from '../../protocol/ids.ts'

/** Who makes a request, as its access token tells. */
export interface Requester {
  readonly userId: UserId
  /** Undefined for tokens without a device (application services, admin-made tokens). */
  readonly deviceId: DeviceId | undefined
  /** Row of the access token; transaction ids of tokens without a device hang on it. */
  readonly accessTokenId: number
  readonly isGuest: boolean
  readonly isAdmin: boolean
  readonly isSuspended: boolean
  readonly isShadowBanned: boolean
  /** False for users and application services that an admin exempted. */
  readonly isRateLimited: boolean
  /** How much the user may send, where an administrator set it. */
  readonly messageLimit?: RateLimit | undefined
  /** The application service that acts as the user. */
  readonly appserviceId?: string | undefined
  /** It makes and deletes devices without further proof (MSC4190). */
  readonly managesDevices?: boolean | undefined
}

/** As whom an application service wants to act. */
export interface Masquerade {
  readonly userId: string | undefined
  readonly deviceId: string | undefined
}

/** Turns access tokens into requesters. */
export interface Authenticator {
  /**
   * Throws M_UNKNOWN_TOKEN (with `soft_logout` for an expired token), M_USER_LOCKED, M_USER_DEACTIVATED.
   * `userAgent` and `remoteAddress` are remembered as the device's last sight of the user.
   */
  authenticate(
    token: string,
    seen: { remoteAddress: string; userAgent: string | undefined },
    options?: { isLockedAllowed?: boolean; masquerade?: Masquerade | undefined },
  ): Promise<Requester>
}
