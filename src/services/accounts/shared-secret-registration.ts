import { createHmac, timingSafeEqual } from 'node:crypto'
import { MatrixError } from '../../protocol/errors.ts'
import type { Database } from '../../storage/database.ts'
import { insertRegistrationNonce, takeRegistrationNonce } from '../../storage/tables/ui-auth.ts'
import type { Clock } from '../../util/clock.ts'
import type { Random } from '../../util/random.ts'
import type { Registered, Registration } from './registration.ts'

const NONCE_BYTES = 64
const NONCE_LIFETIME_MS = 60_000
const TEXT_CHARS_MAX = 512
const USER_TYPES: ReadonlySet<string> = new Set(['support', 'bot'])

/** The body of `POST /_synapse/admin/v1/register`, unchecked. */
export interface SharedSecretRequest {
  readonly nonce?: unknown
  readonly username?: unknown
  readonly password?: unknown
  readonly displayname?: unknown
  readonly admin?: unknown
  readonly user_type?: unknown
  readonly mac?: unknown
  readonly inhibit_login?: unknown
}

/**
 * Makes accounts for whoever knows the option `registration_shared_secret`. Same protocol as Synapse's
 * (docs/admin_api/register_api.md), so its tools work.
 */
export class SharedSecretRegistration {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random
  readonly #registration: Registration
  readonly #secret: string | undefined

  constructor(deps: {
    database: Database
    clock: Clock
    random: Random
    registration: Registration
    secret: string | undefined
  }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#random = deps.random
    this.#registration = deps.registration
    this.#secret = deps.secret
  }

  #requireSecret(): string {
    if (this.#secret === undefined || this.#secret === '') throw badRequest('Shared secret registration is not enabled')
    return this.#secret
  }

  /** Makes a nonce that is good for one try within a minute. */
  async makeNonce(): Promise<string> {
    this.#requireSecret()
    const nonce = this.#random.bytes(NONCE_BYTES).toString('hex')
    const nowMs = this.#clock.nowMs()
    await insertRegistrationNonce(this.#database, nonce, { nowMs, expiresTsMs: nowMs + NONCE_LIFETIME_MS })
    return nonce
  }

  /** Makes the account when the MAC fits. Throws M_FORBIDDEN, M_BAD_JSON, M_UNKNOWN (400), M_INVALID_USERNAME, M_USER_IN_USE. */
  async register(request: SharedSecretRequest): Promise<Registered> {
    const secret = this.#requireSecret()
    const nonce = requireField(request.nonce, 'nonce')
    const isNonceShape = typeof nonce === 'string' && nonce.length === NONCE_BYTES * 2 && !nonce.includes('\u0000')
    if (!isNonceShape || !(await takeRegistrationNonce(this.#database, nonce, this.#clock.nowMs())))
      throw badRequest('unrecognised nonce')
    const username = readText(requireField(request.username, 'username'), 'username')
    const password = readText(requireField(request.password, 'password'), 'password')
    const isAdmin = Boolean(request.admin)
    const userType = request.user_type ?? undefined
    if (userType !== undefined && (typeof userType !== 'string' || !USER_TYPES.has(userType)))
      throw badRequest('Invalid user type')
    const mac = requireField(request.mac, 'mac')
    const parts = [nonce, username, password, isAdmin ? 'admin' : 'notadmin', ...(userType === undefined ? [] : [userType])]
    if (typeof mac !== 'string' || !isEqual(mac, computeMac(secret, parts)))
      throw new MatrixError('M_FORBIDDEN', 'HMAC incorrect')
    return this.#registration.createAccount({
      localpart: username,
      password,
      displayName: typeof request.displayname === 'string' ? request.displayname : undefined,
      isAdmin,
      userType,
      device:
        request.inhibit_login === true ? undefined : { deviceId: undefined, displayName: undefined, wantsRefreshToken: false },
    })
  }
}

/** The MAC that proves knowledge of the secret: HMAC-SHA1 over the parts with U+0000 between them, in hexadecimal. */
export function computeMac(secret: string, parts: readonly string[]): string {
  return createHmac('sha1', secret).update(parts.join('\u0000')).digest('hex')
}

function isEqual(given: string, wanted: string): boolean {
  const a = Buffer.from(given)
  const b = Buffer.from(wanted)
  return a.length === b.length && timingSafeEqual(a, b)
}

function requireField(value: unknown, name: string): unknown {
  if (value === undefined) throw new MatrixError('M_BAD_JSON', `${name} must be specified`)
  return value
}

function readText(value: unknown, name: string): string {
  if (typeof value !== 'string' || value.length > TEXT_CHARS_MAX || value.includes('\u0000')) throw badRequest(`Invalid ${name}`)
  return value
}

function badRequest(message: string): MatrixError {
  return new MatrixError('M_UNKNOWN', message, { status: 400 })
}
