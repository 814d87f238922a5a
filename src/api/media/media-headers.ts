// Types that browsers show without running anything. Spec: client-server-api § Serving inline content.
const INLINE_TYPES: ReadonlySet<string> = new Set([
  'text/css',
  'text/plain',
  'text/csv',
  'application/json',
  'application/ld+json',
  'image/jpeg',
  'image/gif',
  'image/png',
  'image/apng',
  'image/webp',
  'image/avif',
  'video/mp4',
  'video/webm',
  'video/ogg',
  'video/quicktime',
  'audio/mp4',
  'audio/webm',
  'audio/aac',
  'audio/mpeg',
  'audio/ogg',
  'audio/wave',
  'audio/wav',
  'audio/x-wav',
  'audio/x-pn-wav',
  'audio/flac',
  'audio/x-flac',
])
// Spec: client-server-api § Content Repository, security considerations.
const CONTENT_SECURITY_POLICY =
  "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; media-src 'self'; object-src 'self';"
const MAX_AGE_SECONDS = 86_400
const TOKEN = /^[A-Za-z0-9!#$&+.^_`|~-]+$/
const QUOTABLE = /^[\x20-\x7e]*$/

/** Headers of all media: nothing in them runs, others may embed them, they never change. */
export function mediaHeaders(media: {
  contentType: string
  fileName: string | undefined
  etag: string
  isAuthenticated: boolean
}): Record<string, string> {
  const scope = media.isAuthenticated ? 'private' : `public, s-maxage=${MAX_AGE_SECONDS}`
  return {
    'content-security-policy': CONTENT_SECURITY_POLICY,
    'cross-origin-resource-policy': 'cross-origin',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'x-robots-tag': 'noindex, nofollow, noarchive, noimageindex',
    'content-disposition': contentDisposition(media.contentType, media.fileName),
    'cache-control': `${scope}, max-age=${MAX_AGE_SECONDS}, immutable`,
    'accept-ranges': 'bytes',
    etag: media.etag,
  }
}

/** `inline` for types that are safe to show, else `attachment`; with the name, encoded by RFC 5987 where it is not plain ASCII. */
export function contentDisposition(contentType: string, fileName: string | undefined): string {
  const essence = contentType.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  const disposition = INLINE_TYPES.has(essence) ? 'inline' : 'attachment'
  if (fileName === undefined || fileName === '') return disposition
  if (TOKEN.test(fileName)) return `${disposition}; filename=${fileName}`
  if (QUOTABLE.test(fileName)) return `${disposition}; filename="${fileName.replace(/[\\"]/g, '\\$&')}"`
  const encoded = encodeURIComponent(fileName.toWellFormed()).replace(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return `${disposition}; filename*=utf-8''${encoded}`
}

/** A part of a file: first and last byte. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** Reads a Range header: undefined to send everything (none, several, or not understood), `unsatisfiable` for 416. RFC 9110 § 14.2. */
export function parseRange(header: string | undefined, sizeBytes: number): ByteRange | 'unsatisfiable' | undefined {
  const [, first = '', last = ''] = /^bytes=([0-9]{0,15})-([0-9]{0,15})$/.exec(header?.trim() ?? '') ?? []
  if (first === '' && last === '') return undefined
  if (first === '') {
    const suffix = Math.min(Number(last), sizeBytes)
    return suffix === 0 ? 'unsatisfiable' : { start: sizeBytes - suffix, end: sizeBytes - 1 }
  }
  if (last !== '' && Number(last) < Number(first)) return undefined
  if (Number(first) >= sizeBytes) return 'unsatisfiable'
  return { start: Number(first), end: last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1) }
}

/** Tells whether the client has this version already. RFC 9110 § 13.1.2. */
export function matchesEtag(header: string | undefined, etag: string): boolean {
  return header !== undefined && header.split(',').some((part) => part.trim() === '*' || part.trim().replace(/^W\//, '') === etag)
}
