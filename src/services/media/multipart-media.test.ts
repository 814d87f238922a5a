import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { parseFileName } from './content-disposition.ts'
import { MultipartError, readMediaPart } from './multipart-media.ts'

const TYPE = 'multipart/mixed; boundary=xyz'

async function bytesOf(body: Readable): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of body as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

function inPieces(text: string, size: number): Readable {
  const bytes = Buffer.from(text)
  const count = Math.ceil(bytes.length / size)
  return Readable.from(
    Array.from({ length: count }, (_, index) => bytes.subarray(index * size, (index + 1) * size)),
    { objectMode: false },
  )
}

describe('media of another server', () => {
  const whole =
    '--xyz\r\nContent-Type: application/json\r\n\r\n{}\r\n--xyz\r\nContent-Type: text/plain\r\n' +
    'Content-Disposition: inline; filename=a.txt\r\n\r\nline\r\n--xy no end\r\n\r\n--xyz--\r\n'

  it.each([1, 3, 7, 1000])('is the bytes between the boundaries, however it arrives (%i at once)', async (size) => {
    const part = await readMediaPart(TYPE, inPieces(whole, size))
    if (part.kind !== 'content') throw new Error(part.kind)
    expect(part).toMatchObject({ contentType: 'text/plain', disposition: 'inline; filename=a.txt' })
    expect(await bytesOf(part.body)).toBe('line\r\n--xy no end\r\n')
  })

  it('may be nothing at all', async () => {
    const part = await readMediaPart(
      'multipart/mixed; boundary="xyz"',
      inPieces('--xyz\r\n\r\n{}\r\n--xyz\r\n\r\n\r\n--xyz--', 5),
    )
    if (part.kind !== 'content') throw new Error(part.kind)
    expect(await bytesOf(part.body)).toBe('')
  })

  it('may lie elsewhere', async () => {
    const text = '--xyz\r\n\r\n{}\r\n--xyz\r\nLocation: https://cdn.example/a\r\n\r\n\r\n--xyz--'
    expect(await readMediaPart(TYPE, inPieces(text, 9))).toEqual({ kind: 'elsewhere', url: 'https://cdn.example/a' })
  })

  it('is refused where it was cut off, or is something else', async () => {
    const part = await readMediaPart(TYPE, inPieces(whole.slice(0, -15), 8))
    if (part.kind !== 'content') throw new Error(part.kind)
    await expect(bytesOf(part.body)).rejects.toThrow(MultipartError)
    await expect(readMediaPart('text/html', inPieces('hello', 5))).rejects.toThrow(MultipartError)
    await expect(readMediaPart(TYPE, inPieces('x'.repeat(200_000), 5000))).rejects.toThrow(MultipartError)
  })
})

describe('the name of a file', () => {
  it.each([
    ['inline; filename=a.txt', 'a.txt'],
    ['attachment; filename="say \\"hi\\".txt"', 'say "hi".txt'],
    ["inline; filename*=utf-8''%E2%98%95.png", '☕.png'],
    ["inline; filename=x; filename*=UTF-8''y", 'y'],
    ["inline; filename*=utf-8''%ZZ", undefined],
    ['inline', undefined],
    [undefined, undefined],
  ])('in %j is %j', (header, expected) => {
    expect(parseFileName(header)).toBe(expected)
  })
})
