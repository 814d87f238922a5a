import type { ServerName } from '../../protocol/ids.ts'

/** A request to another server failed: it could not be reached, took too long, or answered with an error or nonsense. */
export class FederationRequestError extends Error {
  readonly destination: ServerName
  /** The HTTP status of its answer; undefined where there was none that could be read. */
  readonly status: number | undefined
  /** The Matrix error code of its answer. */
  readonly errcode: string | undefined
  /** Whether the same request may succeed later: not so for what the peer refused. */
  readonly isRetryable: boolean

  constructor(
    destination: ServerName,
    message: string,
    options: { status?: number | undefined; errcode?: string | undefined; isRetryable: boolean; cause?: unknown },
  ) {
    super(`${destination}: ${message}`, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'FederationRequestError'
    this.destination = destination
    this.status = options.status
    this.errcode = options.errcode
    this.isRetryable = options.isRetryable
  }
}

/** The destination failed lately and is not asked before `retryAtTsMs`. */
export class NotRetryingDestination extends FederationRequestError {
  readonly retryAtTsMs: number

  constructor(destination: ServerName, retryAtTsMs: number) {
    super(destination, 'failed lately; it is left alone for a while', { isRetryable: true })
    this.name = 'NotRetryingDestination'
    this.retryAtTsMs = retryAtTsMs
  }
}
