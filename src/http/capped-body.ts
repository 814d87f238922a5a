import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import { OutgoingRequestError } from './outgoing-errors.ts'

/** Lets the body of an answer through, up to a size and until a deadline; then it fails with OutgoingRequestError. */
export function capped(
  body: Readable,
  options: {
    readonly bytesMax: number
    readonly headers: IncomingHttpHeaders
    readonly deadline: { readonly signal: AbortSignal; end(): void }
  },
): Readable {
  const { bytesMax, deadline } = options
  const declared = Number(options.headers['content-length'] ?? 0)
  async function* pass(): AsyncGenerator<Buffer> {
    let size = 0
    try {
      if (declared > bytesMax) throw tooLarge(bytesMax)
      for await (const chunk of body as AsyncIterable<Buffer>) {
        size += chunk.length
        if (size > bytesMax) throw tooLarge(bytesMax)
        yield chunk
      }
    } catch (error) {
      throw toOutgoingError(error, deadline.signal)
    } finally {
      deadline.end()
      body.destroy()
    }
  }
  const stream = Readable.from(pass(), { objectMode: false })
  // A generator that was never started has no `finally` to run.
  stream.once('close', () => {
    deadline.end()
    body.on('error', () => undefined).destroy()
  })
  return stream
}

/** Reads a capped body to its end. */
export async function readAll(body: Readable): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of body as AsyncIterable<Buffer>) chunks.push(chunk)
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)
}

function tooLarge(bytesMax: number): OutgoingRequestError {
  return new OutgoingRequestError('too_large', `The answer is larger than ${bytesMax} bytes`, { wasSent: true })
}

function toOutgoingError(error: unknown, signal: AbortSignal): OutgoingRequestError {
  if (error instanceof OutgoingRequestError) return error
  if (signal.aborted && signal.reason instanceof OutgoingRequestError) return signal.reason
  return new OutgoingRequestError('unreachable', 'The connection broke in the middle of the answer', {
    wasSent: true,
    cause: error,
  })
}
