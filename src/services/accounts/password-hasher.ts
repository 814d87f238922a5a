import bcrypt from 'bcrypt'

/** bcrypt looks at no more. Synapse cuts there as well. */
const BCRYPT_BYTES_MAX = 72
/** Longer ones are refused before they are hashed. */
export const PASSWORD_CHARS_MAX = 512

/**
 * Hashes and checks passwords as Synapse does: NFKC, then the pepper behind it, cut to 72 bytes, then bcrypt ($2b$), on the
 * thread pool.
 */
export class PasswordHasher {
  readonly #rounds: number
  readonly #pepper: string
  #unknownUserHash: Promise<string> | undefined

  constructor(options: { rounds: number; pepper: string | undefined }) {
    this.#rounds = options.rounds
    this.#pepper = options.pepper ?? ''
  }

  #prepare(password: string): Buffer {
    return Buffer.from(password.normalize('NFKC') + this.#pepper).subarray(0, BCRYPT_BYTES_MAX)
  }

  /** Makes the hash that is stored. */
  async hash(password: string): Promise<string> {
    return bcrypt.hash(this.#prepare(password), await bcrypt.genSalt(this.#rounds, 'b'))
  }

  /**
   * Tells whether the password fits the stored hash. Without a hash (no such account, no password) it takes as long and
   * says no, so that the answer's time does not tell which accounts exist.
   */
  async verify(password: string, hash: string | undefined | null): Promise<boolean> {
    if (password.length > PASSWORD_CHARS_MAX) return false
    if (hash === undefined || hash === null || hash === '') {
      await bcrypt.compare(this.#prepare(password), await (this.#unknownUserHash ??= this.hash('')))
      return false
    }
    return bcrypt.compare(this.#prepare(password), normalizePrefix(hash))
  }
}

/** `$2y$` (other implementations, htpasswd) is `$2b$` by another name, which the library does not know. */
function normalizePrefix(hash: string): string {
  return hash.startsWith('$2y$') ? `$2b$${hash.slice(4)}` : hash
}
