import { describe, expect, test } from 'vitest'
import { cacheOfBytes, cacheOfEntries } from './lru-cache.ts'

describe('a cache of entries', () => {
  test('drops the least recently used, and says so', () => {
    const removed: string[] = []
    const cache = cacheOfEntries<string, number>(2, { onRemoved: (_value, key) => removed.push(key) })
    cache.set('a', 1).set('b', 2)
    cache.get('a')
    cache.set('c', 3)
    expect([...cache.keys()].toSorted()).toEqual(['a', 'c'])
    expect(removed).toEqual(['b'])
  })

  test('takes no memory for entries that are not there', () => {
    const before = process.memoryUsage().arrayBuffers
    const cache = cacheOfEntries<string, number>(10_000_000)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000)
    expect(cache.size).toBe(0)
  })
})

describe('a cache of bytes', () => {
  test('holds as much as there is room for', () => {
    const cache = cacheOfBytes<string, string>(10_000, (text) => text.length)
    for (let index = 0; index < 100; index++) cache.set(`key ${index}`, 'x'.repeat(850))
    expect(cache.size).toBe(10)
    expect(cache.has('key 99')).toBe(true)
  })

  test('does not keep what would push out most of the others', () => {
    const cache = cacheOfBytes<string, string>(10_000, (text) => text.length)
    cache.set('small', 'x')
    cache.set('large', 'x'.repeat(5000))
    expect([...cache.keys()]).toEqual(['small'])
  })
})
