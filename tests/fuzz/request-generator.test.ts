import { describe, expect, test } from 'vitest'
import { loadOperations } from '../kit/spec/operations.ts'
import { RequestGenerator } from './request-generator.ts'
import { SeededRandom } from './seeded-random.ts'

const VOCABULARY = { byFormat: { 'mx-user-id': ['@a:b'] }, byName: { roomId: ['!a:b'] } }
const operations = loadOperations('client-server')

function requestsOf(seed: number): string[] {
  const random = new SeededRandom(seed)
  const generator = new RequestGenerator(random, VOCABULARY)
  return Array.from({ length: 500 }, () => {
    const { method, path, body } = generator.make(random.pick(operations))
    return `${method} ${path} ${typeof body === 'string' ? body : Buffer.from(body ?? []).toString('hex')}`
  })
}

describe('the generator of hostile requests', () => {
  test('makes the same requests from the same seed, and others from another', () => {
    expect(requestsOf(7)).toEqual(requestsOf(7))
    expect(requestsOf(7)).not.toEqual(requestsOf(8))
  })

  test('makes requests for every operation, with and without what is hostile', () => {
    const random = new SeededRandom(1)
    const generator = new RequestGenerator(random, VOCABULARY)
    const bodies = operations.flatMap((operation) => Array.from({ length: 30 }, () => generator.make(operation)))
    expect(new Set(bodies.map((request) => request.operation)).size).toBe(operations.length)
    const texts = bodies.map((request) => (typeof request.body === 'string' ? request.body : ''))
    for (const wanted of ['\\ud800', '\\u0000', '[[[[[[[[', '9007199254740993', '__proto__']) {
      expect(
        texts.some((text) => text.includes(wanted)),
        wanted,
      ).toBe(true)
    }
    expect(texts.some((text) => text.length > 300_000)).toBe(true)
  })
})
