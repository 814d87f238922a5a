import { describe, expect, test } from 'vitest'
import type { UserId } from '../../protocol/ids.ts'
import { systemRandom } from '../../util/random.ts'
import type { Random } from '../../util/random.ts'
import { hashToken, makeToken } from './tokens.ts'

function lettersAre(letters: string): Random {
  return { bytes: systemRandom.bytes, letters: (length) => letters.slice(0, length) }
}

describe('a token', () => {
  test('carries the localpart for proxies, twenty letters and a checksum', () => {
    const token = makeToken('syt', '@alice:example.org' as UserId, systemRandom)
    const [kind, localpart, letters, checksum] = token.split('_')
    expect(kind).toBe('syt')
    expect(Buffer.from(localpart ?? '', 'base64').toString()).toBe('alice')
    expect(letters).toMatch(/^[a-zA-Z]{20}$/)
    expect(checksum).toMatch(/^[0-9A-Za-z]{6}$/)
  })

  test('has the checksum that Synapse would give it', () => {
    // crc32 and base62 computed with Python's zlib over "syt_dGVzdA_aaaaaaaaaaaaaaaaaaaa".
    expect(makeToken('syt', '@test:example.org' as UserId, lettersAre('a'.repeat(20)))).toBe(
      'syt_dGVzdA_aaaaaaaaaaaaaaaaaaaa_1cDAyC',
    )
  })

  test('pads short checksums', () => {
    for (let round = 0; round < 200; round++)
      expect(makeToken('syr', '@a:b' as UserId, systemRandom)).toMatch(/^syr_YQ_[a-zA-Z]{20}_[0-9A-Za-z]{6}$/)
  })

  test('is found again by its hash only', () => {
    expect(hashToken('a')).toEqual(hashToken('a'))
    expect(hashToken('a')).not.toEqual(hashToken('b'))
    expect(hashToken('a')).toHaveLength(32)
  })
})
