import { MatrixError } from '../../protocol/errors.ts'
import { parseDeviceId, parseUserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getDevicesOfUser } from '../../storage/tables/devices.ts'
import { getUser } from '../../storage/tables/users.ts'
import type { LastSeen } from '../devices/last-seen.ts'
import type { Authenticator, Masquerade, Requester } from '../accounts/requester.ts'
import type { Appservices } from './appservices.ts'

/** Lets application services act as their users; all other tokens go on to the next one. Spec: application-service-api § Identity assertion. */
export class AppserviceAuthenticator implements Authenticator {
  readonly #database: Database
  readonly #appservices: Appservices
  readonly #next: Authenticator
  readonly #lastSeen: Pick<LastSeen, 'note'> | undefined

  /** `lastSeen` only with the option `track_appservice_user_ips`. */
  constructor(deps: {
    database: Database
    appservices: Appservices
    next: Authenticator
    lastSeen: Pick<LastSeen, 'note'> | undefined
  }) {
    this.#database = deps.database
    this.#appservices = deps.appservices
    this.#next = deps.next
    this.#lastSeen = deps.lastSeen
  }

  async authenticate(
    token: string,
    seen: { remoteAddress: string; userAgent: string | undefined },
    options?: { isLockedAllowed?: boolean; masquerade?: Masquerade | undefined },
  ): Promise<Requester> {
    const appservice = this.#appservices.withToken(token)
    if (!appservice) return this.#next.authenticate(token, seen, options)
    const { userId: wanted, deviceId } = options?.masquerade ?? {}
    const userId = wanted === undefined ? appservice.sender : parseUserId(wanted)
    if (!appservice.ownsUser(userId)) throw new MatrixError('M_FORBIDDEN', 'The application service can not act as this user')
    const user = await getUser(this.#database, userId)
    if (!user) throw new MatrixError('M_FORBIDDEN', 'The application service has not registered this user')
    if (user.isDeactivated) throw new MatrixError('M_USER_DEACTIVATED', 'This account has been deactivated')
    if (user.isLocked && options?.isLockedAllowed !== true)
      throw new MatrixError('M_USER_LOCKED', 'This account has been locked', { extra: { soft_logout: true } })
    const requester: Requester = {
      userId,
      deviceId: deviceId === undefined ? undefined : await this.#findDevice(userId, deviceId),
      accessTokenId: 0,
      isGuest: false,
      isAdmin: user.isAdmin,
      isSuspended: user.isSuspended,
      isShadowBanned: user.isShadowBanned,
      // "The sender is excluded." Spec: registration.yaml, rate_limited.
      isRateLimited: user.isRateLimited && appservice.registration.isRateLimited && userId !== appservice.sender,
      appserviceId: appservice.id,
      managesDevices: appservice.registration.managesDevices,
    }
    this.#lastSeen?.note(requester, seen)
    return requester
  }

  async #findDevice(userId: Requester['userId'], wanted: string): Promise<Requester['deviceId']> {
    const deviceId = parseDeviceId(wanted)
    const devices = await getDevicesOfUser(this.#database, userId)
    if (devices.some((device) => device.deviceId === deviceId)) return deviceId
    throw new MatrixError('M_UNKNOWN_DEVICE', 'The user has no such device')
  }
}
