import type { IncomingHttpHeaders } from 'node:http'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { HttpResponse } from './endpoint.ts'

/** Below it, the packet is no smaller. */
const BYTES_MIN = 1024
/** Fast rather than small: most of the gain is in the first level. */
const LEVEL = 1
const compress = promisify(gzip)

/**
 * Compresses an answer for a client that says it reads gzip, off the event loop (the listener's `compress`). What is a stream, says
 * its own encoding, or would gain nothing stays as it is.
 */
export async function compressed(response: HttpResponse, headers: IncomingHttpHeaders): Promise<HttpResponse> {
  const { body } = response
  if (response.contentType?.startsWith('application/json') !== true || response.headers?.['content-encoding'] !== undefined)
    return response
  if ((typeof body !== 'string' && !Buffer.isBuffer(body)) || body.length < BYTES_MIN) return response
  const varied = { ...response, headers: { ...response.headers, vary: 'Accept-Encoding' } }
  if (!takesGzip(headers['accept-encoding'])) return varied
  return {
    ...varied,
    body: await compress(body, { level: LEVEL }),
    headers: { ...varied.headers, 'content-encoding': 'gzip' },
  }
}

/** Tells whether `Accept-Encoding` names gzip, or any, without forbidding it by a weight of zero (RFC 9110 § 12.5.3). */
function takesGzip(value: string | string[] | undefined): boolean {
  const weights = new Map(
    String(value ?? '')
      .split(',')
      .map((part) => {
        const [coding = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase())
        const weight = parameters.find((text) => text.startsWith('q='))
        return [coding, weight === undefined ? 1 : Number(weight.slice(2))] as const
      }),
  )
  return (weights.get('gzip') ?? weights.get('x-gzip') ?? weights.get('*') ?? 0) > 0
}
