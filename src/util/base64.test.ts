import { expect, test } from 'vitest'
import { decodeBase64, decodeBase64Url, encodeBase64, encodeBase64Url, stripPadding } from './base64.ts'

// The examples of the specification's appendices.
test.each([
  ['', ''],
  ['f', 'Zg'],
  ['fo', 'Zm8'],
  ['foo', 'Zm9v'],
  ['foob', 'Zm9vYg'],
  ['fooba', 'Zm9vYmE'],
  ['foobar', 'Zm9vYmFy'],
])('%j is %j in unpadded base64, and back', (text, encoded) => {
  expect(encodeBase64(Buffer.from(text))).toBe(encoded)
  expect(decodeBase64(encoded)?.toString()).toBe(text)
})

test('padding is read but never written', () => {
  expect(decodeBase64('Zg==')?.toString()).toBe('f')
  expect(stripPadding('Zg==')).toBe('Zg')
  expect(encodeBase64Url(Buffer.from('f'))).toBe('Zg')
})

test('each alphabet refuses the other one, other characters and a single last digit', () => {
  const bytes = Buffer.from([0xfb, 0xff, 0xbf])
  expect(encodeBase64(bytes)).toBe('+/+/')
  expect(encodeBase64Url(bytes)).toBe('-_-_')
  expect(decodeBase64('-_-_')).toBeUndefined()
  expect(decodeBase64Url('+/+/')).toBeUndefined()
  expect(decodeBase64Url('-_-_')).toEqual(bytes)
  expect(decodeBase64('Zm 8')).toBeUndefined()
  expect(decodeBase64('Zm9vY')).toBeUndefined()
})
