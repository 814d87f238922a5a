import type { RateLimit, RateLimiter } from '../../http/rate-limiter.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { parseUserId, serverNameOf } from '../../protocol/ids.ts'
import type { ServerName } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { parsePhoneNumber } from '../../protocol/third-party-ids.ts'
import type { Database } from '../../storage/database.ts'
import { getUserIdByThreepid, getUsersIgnoringCase } from '../../storage/tables/users.ts'
import type { UserRow } from '../../storage/tables/users.ts'
import type { PasswordHasher } from './password-hasher.ts'

/** Checks passwords for logins and for confirmations. */
export class Passwords {
  readonly #database: Database
  readonly #hasher: PasswordHasher
  readonly #rateLimiter: RateLimiter
  readonly #serverName: ServerName
  readonly #failedAttempts: RateLimit

  constructor(deps: {
    database: Database
    hasher: PasswordHasher
    rateLimiter: RateLimiter
    serverName: ServerName
    failedAttempts: RateLimit
  }) {
    this.#database = deps.database
    this.#hasher = deps.hasher
    this.#rateLimiter = deps.rateLimiter
    this.#serverName = deps.serverName
    this.#failedAttempts = deps.failedAttempts
  }

  /**
   * Finds out whose credentials these are: `identifier` (or the old `user`, `medium` and `address`) with `password`.
   * Throws M_FORBIDDEN, the same and after the same time whether the account or the password is wrong; M_LIMIT_EXCEEDED after
   * too many failures; M_MISSING_PARAM.
   */
  async verify(credentials: JsonObject): Promise<UserRow> {
    const { password } = credentials
    if (typeof password !== 'string') throw new MatrixError('M_MISSING_PARAM', 'Missing parameter: password')
    const claimed = await this.#claimedUser(credentials)
    const limitKey = `failed_login:${(claimed ?? 'unknown').toLowerCase()}`
    await this.#rateLimiter.check(limitKey, this.#failedAttempts)
    const user = claimed === undefined ? undefined : await this.#find(claimed)
    const isRight = await this.#hasher.verify(password, user?.passwordHash)
    if (user && isRight && !user.isDeactivated) return user
    await this.#countFailure(limitKey)
    throw new MatrixError('M_FORBIDDEN', 'Invalid username or password')
  }

  /** Uses up a token of the bucket; that it is empty is told at the next attempt. */
  async #countFailure(limitKey: string): Promise<void> {
    try {
      await this.#rateLimiter.consume(limitKey, this.#failedAttempts)
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error
    }
  }

  /**
   * The user id that the identifier names; undefined for one that can not be ours. Spec: client-server-api § Identifier
   * types.
   */
  async #claimedUser(credentials: JsonObject): Promise<string | undefined> {
    const identifier = readIdentifier(credentials)
    switch (identifier['type']) {
      case 'm.id.user':
        return this.#toUserId(requireText(identifier, 'user'))
      case 'm.id.thirdparty': {
        const medium = requireText(identifier, 'medium')
        const address = requireText(identifier, 'address')
        return getUserIdByThreepid(this.#database, { medium, address: medium === 'email' ? address.toLowerCase() : address })
      }
      case 'm.id.phone': {
        const phone = requireText(identifier, identifier['phone'] === undefined ? 'number' : 'phone')
        const address = parsePhoneNumber(requireText(identifier, 'country'), phone)
        return getUserIdByThreepid(this.#database, { medium: 'msisdn', address })
      }
      default:
        throw new MatrixError('M_UNKNOWN', 'Unknown login identifier type', { status: 400 })
    }
  }

  #toUserId(user: string): string | undefined {
    const userId = user.startsWith('@') ? user : `@${user}:${this.#serverName}`
    try {
      return serverNameOf(parseUserId(userId)) === this.#serverName ? userId : undefined
    } catch (error) {
      // Whatever is no id is nobody's; the caller answers as for a wrong password.
      if (error instanceof MatrixError) return undefined
      throw error
    }
  }

  /** The account of the id; the case of letters matters only where old accounts differ in nothing else. */
  async #find(userId: string): Promise<UserRow | undefined> {
    const users = await getUsersIgnoringCase(this.#database, userId)
    return users.find((user) => user.userId === userId) ?? (users.length === 1 ? users[0] : undefined)
  }

  /** Makes the hash of a new password. */
  hash(password: string): Promise<string> {
    return this.#hasher.hash(password)
  }
}

/** The identifier, or one made of the fields that it replaced. */
function readIdentifier(credentials: JsonObject): JsonObject {
  const { identifier, user, medium, address } = credentials
  if (isJsonObject(identifier)) return identifier
  if (identifier !== undefined) throw new MatrixError('M_INVALID_PARAM', 'The identifier must be an object')
  if (typeof user === 'string') return { type: 'm.id.user', user }
  if (typeof medium === 'string' && typeof address === 'string') return { type: 'm.id.thirdparty', medium, address }
  throw new MatrixError('M_MISSING_PARAM', 'Missing parameter: identifier')
}

function requireText(object: JsonObject, name: string): string {
  const value = object[name]
  if (typeof value !== 'string') throw new MatrixError('M_MISSING_PARAM', `Missing parameter: identifier.${name}`)
  if (value.includes('\u0000')) throw new MatrixError('M_INVALID_PARAM', `identifier.${name} contains U+0000`)
  return value
}
