import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { UserId } from '../../protocol/ids.ts'
import { compileWordLiteral } from '../../util/glob.ts'
import { NameIndex } from './name-index.ts'

const letters = fc.constantFrom('a', 'B', 'c', '_', '1', ' ', '.', '-', 'é', 'Σ', '王', '🎉', '')
const text = fc.array(letters, { maxLength: 8 }).map((parts) => parts.join(''))

it('finds every user whose name occurs in a text as push rules see it', () => {
  fc.assert(
    fc.property(fc.array(text, { maxLength: 5 }), text, text, (names, before, after) => {
      const index = new NameIndex()
      for (const [at, name] of names.entries()) index.add(name, `@${at}:x` as UserId)
      for (const [at, name] of names.entries()) {
        const body = `${before}${name}${after}`
        if (name !== '' && compileWordLiteral(name).matches(body)) expect(index.find(body)).toContain(`@${at}:x`)
      }
    }),
    { numRuns: 2000 },
  )
})

it('does not take words for the names that they begin', () => {
  const index = new NameIndex()
  index.add('bob', '@bob:x' as UserId)
  index.add('', '@nobody:x' as UserId)
  expect([...index.find('bobby and the bobs')]).toEqual([])
  expect([...index.find('hi BOB!')]).toEqual(['@bob:x'])
})
