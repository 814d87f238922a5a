import { TextDecoder } from 'node:util'

/** The declaration stands in the first bytes. Spec: HTML § Determining the character encoding. */
const LOOKED_AT_BYTES = 1024
const MARKS: readonly (readonly [string, readonly number[]])[] = [
  ['utf-8', [0xef, 0xbb, 0xbf]],
  ['utf-16le', [0xff, 0xfe]],
  ['utf-16be', [0xfe, 0xff]],
]

/**
 * Makes the decoder of a page: by its byte order mark, its Content-Type, what it declares itself (meta, XML), as UTF-8 if its
 * beginning is that, or else as Windows-1252. Names that nobody knows are passed over.
 */
export function makeDecoder(beginning: Buffer, contentType: string | undefined): TextDecoder {
  const head = beginning.subarray(0, LOOKED_AT_BYTES)
  const text = head.toString('latin1')
  const names = [
    MARKS.find(([, mark]) => mark.every((byte, index) => head[index] === byte))?.[0],
    charsetOf(contentType),
    charsetOf(/<meta[^>]*charset[^>]*>/i.exec(text)?.[0]),
    /^\s*<\?xml[^>]*encoding\s*=\s*["']([A-Za-z0-9_:.-]{1,40})/.exec(text)?.[1],
  ]
  for (const name of names) {
    const decoder = name === undefined ? undefined : tryDecoder(name)
    if (decoder) return decoder
  }
  return new TextDecoder(isUtf8(head) ? 'utf-8' : 'windows-1252')
}

function charsetOf(text: string | undefined): string | undefined {
  return text === undefined ? undefined : /charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{1,40})/i.exec(text)?.[1]
}

function tryDecoder(name: string): TextDecoder | undefined {
  try {
    return new TextDecoder(name)
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

function isUtf8(bytes: Buffer): boolean {
  try {
    // With `stream`, a character that is cut off at the end is no fault.
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true })
    return true
  } catch (error) {
    if (error instanceof TypeError) return false
    throw error
  }
}
