import { MatrixError } from '../../protocol/errors.ts'
import { makeUserId, parseUserId, serverNameOf } from '../../protocol/ids.ts'
import type { ServerName, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { isUniqueViolation } from '../../storage/database.ts'
import { getUser, insertUser } from '../../storage/tables/users.ts'
import type { Clock } from '../../util/clock.ts'
import type { Registered, Registration } from '../accounts/registration.ts'
import type { DeviceRequest, Session, Sessions } from '../accounts/sessions.ts'
import type { Appservice } from './appservice.ts'
import type { Appservices } from './appservices.ts'

/** Makes accounts for application services, and logs them in. Spec: application-service-api § Server admin style permissions. */
export class AppserviceAccounts {
  readonly #database: Database
  readonly #appservices: Appservices
  readonly #registration: Registration
  readonly #sessions: Sessions
  readonly #clock: Clock
  readonly #serverName: ServerName

  constructor(deps: {
    database: Database
    appservices: Appservices
    registration: Registration
    sessions: Sessions
    clock: Clock
    serverName: ServerName
  }) {
    this.#database = deps.database
    this.#appservices = deps.appservices
    this.#registration = deps.registration
    this.#sessions = deps.sessions
    this.#clock = deps.clock
    this.#serverName = deps.serverName
  }

  /** Makes the users that the services are themselves. Idempotent, and safe beside other processes. */
  async start(): Promise<void> {
    for (const { sender, id } of this.#appservices.all) {
      if (await getUser(this.#database, sender)) continue
      const account = {
        userId: sender,
        passwordHash: undefined,
        isAdmin: false,
        isGuest: false,
        userType: undefined,
        appserviceId: id,
      }
      try {
        await insertUser(this.#database, { ...account, createdTsMs: this.#clock.nowMs() })
      } catch (error) {
        if (!isUniqueViolation(error)) throw error
      }
    }
  }

  /** Makes an account of the service's namespace. Throws M_MISSING_TOKEN, M_UNKNOWN_TOKEN, M_EXCLUSIVE, M_USER_IN_USE, M_INVALID_USERNAME. */
  async register(
    token: string | undefined,
    request: { readonly username: string | undefined; readonly device: DeviceRequest; readonly inhibitsLogin: boolean },
  ): Promise<Registered> {
    const appservice = this.#identify(token)
    if (request.username === undefined) throw new MatrixError('M_MISSING_PARAM', 'Missing parameter: username')
    const localpart = request.username.toLowerCase()
    if (!appservice.ownsUser(makeUserId(localpart, this.#serverName)))
      throw new MatrixError('M_EXCLUSIVE', 'The user is outside of the namespace of this application service')
    return this.#registration.createAccount({
      localpart,
      password: undefined,
      displayName: undefined,
      isAdmin: false,
      userType: undefined,
      device: request.inhibitsLogin ? undefined : request.device,
      appserviceId: appservice.id,
    })
  }

  /** Logs one of the service's users in. Throws M_FORBIDDEN, M_EXCLUSIVE. Spec: client-server-api § Appservice Login. */
  async login(token: string | undefined, credentials: unknown, device: DeviceRequest): Promise<Session> {
    const appservice = token === undefined ? undefined : this.#appservices.withToken(token)
    if (!appservice) throw new MatrixError('M_FORBIDDEN', 'This login method is only valid for application services')
    const userId = this.#readUser(credentials)
    if (!appservice.ownsUser(userId))
      throw new MatrixError('M_EXCLUSIVE', 'The user is outside of the namespace of this application service')
    const user = await getUser(this.#database, userId)
    if (!user) throw new MatrixError('M_FORBIDDEN', 'The user does not exist')
    if (user.isDeactivated) throw new MatrixError('M_USER_DEACTIVATED', 'This account has been deactivated')
    if (user.isLocked) throw new MatrixError('M_USER_LOCKED', 'This account has been locked', { extra: { soft_logout: true } })
    return this.#sessions.create(userId, device)
  }

  #identify(token: string | undefined): Appservice {
    if (token === undefined) throw new MatrixError('M_MISSING_TOKEN', 'Missing access token')
    const appservice = this.#appservices.withToken(token)
    if (!appservice) throw new MatrixError('M_UNKNOWN_TOKEN', 'This is not the token of an application service')
    return appservice
  }

  #readUser(credentials: unknown): UserId {
    const { identifier, user } = isJsonObject(credentials) ? credentials : {}
    const name = isJsonObject(identifier) && identifier['type'] === 'm.id.user' ? identifier['user'] : user
    if (typeof name !== 'string') throw new MatrixError('M_MISSING_PARAM', 'Missing parameter: identifier.user')
    if (!name.startsWith('@')) return makeUserId(name.toLowerCase(), this.#serverName)
    const userId = parseUserId(name)
    if (serverNameOf(userId) !== this.#serverName) throw new MatrixError('M_FORBIDDEN', 'The user belongs to another server')
    return userId
  }
}
