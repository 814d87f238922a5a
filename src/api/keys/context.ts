import type { KeyNotary } from '../../services/federation/key-notary.ts'
import type { OwnKeys } from '../../services/federation/own-keys.ts'

/** The services behind /_matrix/key. */
export interface KeysContext {
  readonly ownKeys: OwnKeys
  readonly keyNotary: KeyNotary
}
