import { Readable } from 'node:stream'
import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { compressed } from './compression.ts'

const BODY = JSON.stringify({ rooms: Array.from({ length: 200 }, (_, index) => `!room${index}:example.org`) })
const RESPONSE = { status: 200, contentType: 'application/json', body: BODY }

describe('compressed (WO-23)', () => {
  test('an answer is compressed for who reads gzip, and says so', async () => {
    const response = await compressed(RESPONSE, { 'accept-encoding': 'br;q=1.0, gzip;q=0.8' })
    expect(response.headers).toEqual({ 'content-encoding': 'gzip', vary: 'Accept-Encoding' })
    expect(gunzipSync(response.body as Buffer).toString()).toBe(BODY)
  })

  test.each([undefined, '', 'identity', 'br', 'gzip;q=0', '*;q=0, br'])(
    'for who asks by %s it stays as it is',
    async (accepted) => {
      const response = await compressed(RESPONSE, accepted === undefined ? {} : { 'accept-encoding': accepted })
      expect(response.body).toBe(BODY)
      expect(response.headers).toEqual({ vary: 'Accept-Encoding' })
    },
  )

  test.each([
    ['a short answer', { ...RESPONSE, body: '{}' }],
    ['media', { ...RESPONSE, contentType: 'image/png' }],
    ['a stream', { ...RESPONSE, body: Readable.from([]) }],
  ])('%s is never touched', async (_, response) => {
    expect(await compressed(response, { 'accept-encoding': 'gzip' })).toBe(response)
  })
})
