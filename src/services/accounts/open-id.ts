import type { ServerName, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getOpenIdTokenOwner, insertOpenIdToken } from '../../storage/tables/openid-tokens.ts'
import type { Clock } from '../../util/clock.ts'
import type { Random } from '../../util/random.ts'
import { hashToken } from './tokens.ts'

/** Also Synapse's. */
const TOKEN_LIFETIME_MS = 3600_000
const TOKEN_LETTERS = 24

/** A token that proves to a third party who somebody is, as the client gets it. Spec: definitions/openid_token.yaml. */
export interface OpenIdToken {
  readonly access_token: string
  readonly token_type: 'Bearer'
  readonly matrix_server_name: ServerName
  readonly expires_in: number
}

/** Tokens for third parties: good for nothing but learning the user id. Spec: openid.yaml. */
export class OpenIdTokens {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random
  readonly #serverName: ServerName

  constructor(deps: { database: Database; clock: Clock; random: Random; serverName: ServerName }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#random = deps.random
    this.#serverName = deps.serverName
  }

  /** Makes a token for the user. */
  async issue(userId: UserId): Promise<OpenIdToken> {
    const token = this.#random.letters(TOKEN_LETTERS)
    const nowMs = this.#clock.nowMs()
    await insertOpenIdToken(this.#database, {
      tokenHash: hashToken(token),
      userId,
      expiresTsMs: nowMs + TOKEN_LIFETIME_MS,
      nowMs,
    })
    return {
      access_token: token,
      token_type: 'Bearer',
      matrix_server_name: this.#serverName,
      expires_in: TOKEN_LIFETIME_MS / 1000,
    }
  }

  /** Whose token it is; undefined for one that is unknown or has expired. */
  getOwner(token: string): Promise<UserId | undefined> {
    return getOpenIdTokenOwner(this.#database, hashToken(token), this.#clock.nowMs())
  }
}
