import { describe, expect, it } from 'vitest'
import { contentDisposition, matchesEtag, parseRange } from './media-headers.ts'

describe('media headers', () => {
  it.each([
    ['image/png', undefined, 'inline'],
    ['Text/Plain; charset=utf-8', 'a.txt', 'inline; filename=a.txt'],
    ['image/svg+xml', 'a b.svg', 'attachment; filename="a b.svg"'],
    ['text/html', 'say "hi"\\;.html', 'attachment; filename="say \\"hi\\"\\\\;.html"'],
    ['image/png', "☕ '(x)*.png", "inline; filename*=utf-8''%E2%98%95%20%27%28x%29%2A.png"],
    ['image/png', 'a\r\nset-cookie: x', "inline; filename*=utf-8''a%0D%0Aset-cookie%3A%20x"],
  ])('%s named %j is sent as %s', (contentType, fileName, expected) => {
    expect(contentDisposition(contentType, fileName)).toBe(expected)
  })

  it.each([
    [undefined, undefined],
    ['bytes=0-3', { start: 0, end: 3 }],
    ['bytes=4-', { start: 4, end: 9 }],
    ['bytes=-3', { start: 7, end: 9 }],
    ['bytes=-30', { start: 0, end: 9 }],
    ['bytes=5-99', { start: 5, end: 9 }],
    ['bytes=10-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=3-2', undefined],
    ['bytes=0-1,4-5', undefined],
    ['lines=1-2', undefined],
  ])('the range %s of ten bytes is %j', (header, expected) => {
    expect(parseRange(header, 10)).toEqual(expected)
  })

  it('finds its tag in a list, weak or not', () => {
    expect(matchesEtag('"a", W/"b"', '"b"')).toBe(true)
    expect(matchesEtag('"a"', '"b"')).toBe(false)
    expect(matchesEtag(undefined, '"b"')).toBe(false)
  })
})
