import { randomBytes } from 'node:crypto'

/** Supplies unpredictable values. The only source of randomness in the code base; tests may bring a seeded one. */
export interface Random {
  bytes(count: number): Buffer
  /** A string of `length` characters out of a-z, A-Z. */
  letters(length: number): string
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'

export const systemRandom: Random = {
  bytes: (count) => randomBytes(count),
  letters(length) {
    let out = ''
    while (out.length < length) {
      for (const byte of randomBytes(length + 8)) {
        // 208 = 4 * 52: values above would make the first letters likelier.
        if (byte < 208 && out.length < length) out += LETTERS[byte % 52]
      }
    }
    return out
  },
}
