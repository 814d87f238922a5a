import type { KeysConfig } from '../../config/keys.ts'
import { canonicalJson } from '../../protocol/canonical-json.ts'
import type { ServerName } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { importVerifyKey, signJson } from '../../protocol/signatures.ts'
import type { SigningKey } from '../../protocol/signing-key.ts'
import type { Clock } from '../../util/clock.ts'
import { OperatorError } from '../../util/operator-error.ts'
import type { ServerKey } from './key-ring.ts'

/** What we publish stays valid for at least this long. Spec: server-server-api, keys_server.yaml. */
const VALIDITY_MS_MIN = 3600_000

/** Publishes this server's keys. Spec: server-server-api § Publishing Keys. */
export class OwnKeys {
  readonly #serverName: ServerName
  readonly #signingKeys: readonly SigningKey[]
  readonly #oldKeys: KeysConfig['oldSigningKeys']
  readonly #validityMs: number
  readonly #clock: Clock
  #published: { readonly json: JsonObject; readonly text: string; readonly renewTsMs: number } | undefined

  /** Throws OperatorError on `old_signing_keys` that are none. */
  constructor(deps: {
    serverName: ServerName
    signingKeys: readonly SigningKey[]
    config: Pick<KeysConfig, 'oldSigningKeys' | 'keyRefreshIntervalMs'>
    clock: Clock
  }) {
    this.#serverName = deps.serverName
    this.#signingKeys = deps.signingKeys
    this.#oldKeys = deps.config.oldSigningKeys
    this.#validityMs = Math.max(deps.config.keyRefreshIntervalMs, VALIDITY_MS_MIN)
    this.#clock = deps.clock
    for (const [id, { key }] of this.#oldKeys) {
      if (!importVerifyKey(id, key)) throw new OperatorError(`old_signing_keys: ${id} is no ed25519 key`)
    }
  }

  /** The signed answer of /_matrix/key/v2/server. Made anew when half of its time is over. */
  json(): JsonObject {
    return this.#current().json
  }

  /** The same as text. */
  text(): string {
    return this.#current().text
  }

  /** Keys to check our own signatures with, old ones too. */
  verifyKeys(): readonly ServerKey[] {
    const current = this.#signingKeys.map((key) => ({
      id: key.id,
      keyObject: key.publicKey,
      validUntilTsMs: Number.MAX_SAFE_INTEGER,
    }))
    const old = [...this.#oldKeys].flatMap(([id, { key, expiredTs }]) => {
      const imported = importVerifyKey(id, key)
      return imported ? [{ ...imported, validUntilTsMs: expiredTs }] : []
    })
    return [...old, ...current]
  }

  #current(): { readonly json: JsonObject; readonly text: string } {
    const nowMs = this.#clock.nowMs()
    if (this.#published && this.#published.renewTsMs > nowMs) return this.#published
    let json: JsonObject = {
      server_name: this.#serverName,
      verify_keys: Object.fromEntries(this.#signingKeys.map((key) => [key.id, { key: key.publicKeyBase64 }])),
      old_verify_keys: Object.fromEntries(
        [...this.#oldKeys].map(([id, { key, expiredTs }]) => [id, { key, expired_ts: expiredTs }]),
      ),
      valid_until_ts: nowMs + this.#validityMs,
    }
    for (const key of this.#signingKeys) json = signJson(json, this.#serverName, key)
    this.#published = { json, text: canonicalJson(json), renewTsMs: nowMs + this.#validityMs / 2 }
    return this.#published
  }
}
