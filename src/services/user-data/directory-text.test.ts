import { expect, it } from 'vitest'
import { makeDirectoryRow, splitSearchTerm } from './directory-text.ts'

it('cuts terms at spaces and commas, longest first, whatever their capitals and width', () => {
  expect(splitSearchTerm('  Cooper, ＡLICE\u0000x ')).toEqual(['cooper', 'alice', 'x'])
  expect(splitSearchTerm(' ,; ')).toEqual([])
  expect(splitSearchTerm('田中 太郎')).toEqual(['田中', '太郎'])
})

it('makes rows that the database can hold', () => {
  expect(makeDirectoryRow('@a:x', { displayName: 'A\u0000\nB', avatarUrl: 7 })).toEqual({
    userId: '@a:x',
    displayName: 'A\nB',
    avatarUrl: null,
    searchText: '@a:x\na b',
  })
})
