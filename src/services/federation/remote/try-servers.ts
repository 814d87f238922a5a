import { ERRCODE_STATUS, MatrixError } from '../../../protocol/errors.ts'
import type { Errcode } from '../../../protocol/errors.ts'
import type { ServerName } from '../../../protocol/ids.ts'
import { FederationRequestError, NotRetryingDestination } from '../federation-errors.ts'

/** Of more servers that are said to be in a room the rest is not asked. */
const SERVERS_TRIED_MAX = 10

/** A server answered what no honest server answers; another one may do better. */
export class BadAnswerError extends Error {
  override readonly name = 'BadAnswerError'
  readonly server: ServerName

  constructor(server: ServerName, message: string, options?: { readonly cause?: unknown }) {
    super(`${server}: ${message}`, options?.cause === undefined ? undefined : { cause: options.cause })
    this.server = server
  }
}

export interface ServersTried {
  /** What is done, for errors: `join the room`. */
  readonly what: string
  /** Refusals after which another server is asked: it may know better. All others end the search. */
  readonly failover: readonly Errcode[]
  readonly onFailure?: ((server: ServerName, error: Error) => void) | undefined
  readonly isOver?: (() => boolean) | undefined
}

/**
 * Asks one server after another until one does it; those that failed lately last, but they are asked too: a user waits. What a server refuses for good is thrown as its MatrixError, as is the last refusal
 * when nobody is left; 502 M_UNKNOWN where no server could be reached, or none gave a good answer. Behaviour of Synapse.
 */
export async function tryServers<T>(
  servers: readonly ServerName[],
  options: ServersTried,
  work: (server: ServerName, asking: { readonly isBackoffIgnored: boolean }) => Promise<T>,
): Promise<T> {
  let refusal: MatrixError | undefined
  let cause: unknown
  const queue = servers.slice(0, SERVERS_TRIED_MAX).map((server) => ({ server, isBackoffIgnored: false }))
  for (let next = queue.shift(); next; next = queue.shift()) {
    if (options.isOver?.() === true) break
    const { server } = next
    try {
      return await work(server, next)
    } catch (error) {
      if (!(error instanceof BadAnswerError) && !(error instanceof FederationRequestError)) throw error
      if (error instanceof NotRetryingDestination && !next.isBackoffIgnored) {
        queue.push({ server, isBackoffIgnored: true })
        continue
      }
      options.onFailure?.(server, error)
      cause = error
      const told = error instanceof FederationRequestError ? toRefusal(error) : undefined
      if (told === undefined) continue
      refusal = told
      if (!options.failover.includes(told.errcode) && told.errcode !== 'M_UNRECOGNIZED') throw told
    }
  }
  throw refusal ?? new MatrixError('M_UNKNOWN', `Failed to ${options.what} via any server`, { status: 502, cause })
}

/** What a server said no with; undefined where it did not answer, or failed. */
function toRefusal(error: FederationRequestError): MatrixError | undefined {
  const { status } = error
  if (error instanceof NotRetryingDestination || status === undefined || status < 400 || status >= 500) return undefined
  // It does not know us, or has too much to do: that says nothing about the request.
  if (status === 401 || status === 429) return undefined
  const errcode: Errcode = error.errcode !== undefined && isErrcode(error.errcode) ? error.errcode : 'M_UNKNOWN'
  return new MatrixError(errcode, error.message, { status, cause: error })
}

function isErrcode(value: string): value is Errcode {
  return Object.hasOwn(ERRCODE_STATUS, value)
}
