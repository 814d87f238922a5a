import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { UserId } from '../../protocol/ids.ts'
import { localpartOf } from '../../protocol/ids.ts'
import { encodeBase64 } from '../../util/base64.ts'
import type { Random } from '../../util/random.ts'

/** Access, refresh and login tokens. */
export type TokenKind = 'syt' | 'syr' | 'syl'

const RANDOM_LETTERS = 20
const CHECKSUM_DIGITS = 6
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/**
 * Makes a token `<kind>_<localpart in unpadded base64>_<20 letters>_<crc32 in base62>`. Proxies route on the second part;
 * the checksum lets scanners for leaked secrets recognise one. Same format as Synapse's.
 */
export function makeToken(kind: TokenKind, userId: UserId, random: Random): string {
  const base = `${kind}_${encodeBase64(Buffer.from(localpartOf(userId)))}_${random.letters(RANDOM_LETTERS)}`
  return `${base}_${encodeBase62(crc32(base))}`
}

function encodeBase62(value: number): string {
  let digits = ''
  for (let rest = value; rest > 0; rest = Math.floor(rest / 62)) digits = (BASE62[rest % 62] ?? '') + digits
  return digits.padStart(CHECKSUM_DIGITS, '0')
}

/** What the database keeps of a token. Plain SHA-256: the token has 114 random bits, so nothing can be guessed. */
export function hashToken(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
