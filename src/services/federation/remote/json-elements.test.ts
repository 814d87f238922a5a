import { describe, expect, it } from 'vitest'
import { JsonElements, JsonElementsError } from './json-elements.ts'

function split(text: string, options: { size?: number; isWrapped?: boolean } = {}) {
  const elements = new JsonElements(['state', 'auth_chain'], options)
  const bytes = Buffer.from(text)
  const size = options.size ?? bytes.length
  const found: [string, unknown][] = []
  for (let start = 0; start < bytes.length; start += size) {
    for (const one of elements.push(bytes.subarray(start, start + size))) found.push([one.list, JSON.parse(one.bytes.toString())])
  }
  return { found, rest: JSON.parse(elements.end().toString()) as unknown }
}

const ANSWER = {
  origin: 'a',
  nested: { state: [1, 2], deep: [{ auth_chain: ['x'] }] },
  state: [{ type: 'm.room.create', content: { text: 'br]ack"et{,s\\' } }, { state: [1, [2]] }],
  event: { list: [1, 2, 3] },
  auth_chain: [{ a: 1 }],
}

describe('JsonElements', () => {
  it('gives the elements of the lists, and the rest with the lists empty, however the text is cut', () => {
    for (const size of [1, 2, 3, 7, 1000]) {
      for (const text of [JSON.stringify(ANSWER), JSON.stringify(ANSWER, undefined, 2)]) {
        const { found, rest } = split(text, { size })
        expect(found).toEqual([...ANSWER.state.map((one) => ['state', one]), ['auth_chain', { a: 1 }]])
        expect(rest).toEqual({ ...ANSWER, state: [], auth_chain: [] })
      }
    }
  })

  it('takes an object inside of a list apart, as the old endpoints answer', () => {
    const { found, rest } = split(JSON.stringify([200, ANSWER]), { isWrapped: true, size: 5 })
    expect(found).toHaveLength(3)
    expect(rest).toEqual([200, { ...ANSWER, state: [], auth_chain: [] }])
  })

  it('takes empty lists and lists of other values', () => {
    expect(split('{"state":[ ],"auth_chain":[1,"a]",null]}').found).toEqual([
      ['auth_chain', 1],
      ['auth_chain', 'a]'],
      ['auth_chain', null],
    ])
  })

  it('refuses text that ends early, elements that are too large, and too much elsewhere', () => {
    expect(() => split('{"state":[{}')).toThrow(JsonElementsError)
    expect(() => split(`{"state":["${'x'.repeat(1024 * 1024)}"]}`)).toThrow(JsonElementsError)
    expect(() => split(`{"other":"${'x'.repeat(2 * 1024 * 1024)}"}`)).toThrow(JsonElementsError)
  })
})
