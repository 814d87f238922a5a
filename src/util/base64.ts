const STANDARD = /^[A-Za-z0-9+/]*={0,2}$/
const URL_SAFE = /^[A-Za-z0-9_-]*={0,2}$/

/** Encodes bytes as standard base64 without padding. Spec: appendices § Unpadded Base64. */
export function encodeBase64(bytes: Buffer): string {
  return stripPadding(bytes.toString('base64'))
}

/** Encodes bytes as URL-safe base64 without padding. Spec: appendices § URL-safe unpadded Base64. */
export function encodeBase64Url(bytes: Buffer): string {
  return bytes.toString('base64url')
}

/** Decodes standard base64, with or without padding; undefined where the text is none. */
export function decodeBase64(text: string): Buffer | undefined {
  return decode(text, STANDARD)
}

/** Decodes URL-safe base64, with or without padding; undefined where the text is none. */
export function decodeBase64Url(text: string): Buffer | undefined {
  return decode(text, URL_SAFE)
}

/** Removes the padding that other libraries write. */
export function stripPadding(text: string): string {
  let end = text.length
  while (end > 0 && text[end - 1] === '=') end--
  return end === text.length ? text : text.slice(0, end)
}

function decode(text: string, alphabet: RegExp): Buffer | undefined {
  if (!alphabet.test(text)) return undefined
  // One digit over a multiple of four carries six bits: less than a byte, so no encoder wrote it.
  if (stripPadding(text).length % 4 === 1) return undefined
  return Buffer.from(text, 'base64')
}
