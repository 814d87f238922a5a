import { describe, expect, test } from 'vitest'
import { PASSWORD_CHARS_MAX, PasswordHasher } from './password-hasher.ts'

// Made with libxcrypt over NFKC(password) + pepper, cut to 72 bytes: what Synapse stores.
const HASH_OF_UMLAUT = '$2b$04$abcdefghijklmnopqrstuufS.8DgeNaCJLIB8HVufm0LT6CsH0wKK'
const HASH_OF_LONG = '$2b$04$abcdefghijklmnopqrstuuKiIlCeXB6chNXkLyAo8C7XcLPzh6zUe'

const hasher = new PasswordHasher({ rounds: 4, pepper: 'pepper' })

describe('the password hasher', () => {
  test('verifies hashes that Synapse made, however the characters are composed', async () => {
    expect(await hasher.verify('p\u00e4ssword', HASH_OF_UMLAUT)).toBe(true)
    expect(await hasher.verify('pa\u0308ssword', HASH_OF_UMLAUT)).toBe(true)
    expect(await hasher.verify('password', HASH_OF_UMLAUT)).toBe(false)
    expect(await new PasswordHasher({ rounds: 4, pepper: undefined }).verify('p\u00e4ssword', HASH_OF_UMLAUT)).toBe(false)
  })

  test('looks at 72 bytes, as Synapse does', async () => {
    expect(await hasher.verify('\u00e9'.repeat(60), HASH_OF_LONG)).toBe(true)
    expect(await hasher.verify('\u00e9'.repeat(36), HASH_OF_LONG)).toBe(true)
    expect(await hasher.verify('\u00e9'.repeat(35), HASH_OF_LONG)).toBe(false)
  })

  test('knows the prefix $2y$ of other programs', async () => {
    expect(await hasher.verify('p\u00e4ssword', HASH_OF_UMLAUT.replace('$2b$', '$2y$'))).toBe(true)
  })

  test('makes hashes with the configured cost that verify again', async () => {
    const hash = await hasher.hash('secret')
    expect(hash).toMatch(/^\$2b\$04\$/)
    expect(await hasher.verify('secret', hash)).toBe(true)
    expect(await hasher.verify('Secret', hash)).toBe(false)
  })

  test('distinguishes passwords that hold U+0000', async () => {
    const hash = await hasher.hash('a\u0000b')
    expect(await hasher.verify('a\u0000b', hash)).toBe(true)
    expect(await hasher.verify('a\u0000c', hash)).toBe(false)
  })

  test('refuses where there is no hash, and passwords that are too long', async () => {
    expect(await hasher.verify('secret', undefined)).toBe(false)
    expect(await hasher.verify('', null)).toBe(false)
    expect(await hasher.verify('', '')).toBe(false)
    expect(await hasher.verify('x'.repeat(PASSWORD_CHARS_MAX + 1), HASH_OF_LONG)).toBe(false)
  })
})
