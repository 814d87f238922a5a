import { createHmac } from 'node:crypto'
import { expect, it } from 'vitest'
import { computeTurnCredentials } from './turn-credentials.ts'

const options = {
  turnUris: ['turn:turn.example.com:3478'],
  turnSharedSecret: 'north',
  turnUsername: undefined,
  turnPassword: undefined,
  turnUserLifetimeMs: 3_600_000,
}

it('makes a name with its end in it, and the password that the TURN server computes from it', () => {
  const credentials = computeTurnCredentials(options, '@alice:example.com', 1_000_500)
  const username = '4600:@alice:example.com'
  expect(credentials).toEqual({
    username,
    password: createHmac('sha1', 'north').update(username).digest('base64'),
    uris: options.turnUris,
    ttl: 3600,
  })
})

it('gives the fixed name and password where there is no shared secret', () => {
  const fixed = { ...options, turnSharedSecret: undefined, turnUsername: 'u', turnPassword: 'p' }
  expect(computeTurnCredentials(fixed, '@alice:example.com', 0)).toEqual({
    username: 'u',
    password: 'p',
    uris: options.turnUris,
    ttl: 3600,
  })
})

it('gives nothing without servers or without a way to log in', () => {
  expect(computeTurnCredentials({ ...options, turnUris: [] }, '@alice:example.com', 0)).toBeUndefined()
  expect(computeTurnCredentials({ ...options, turnSharedSecret: undefined }, '@alice:example.com', 0)).toBeUndefined()
})
