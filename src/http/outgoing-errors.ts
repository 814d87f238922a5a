/**
 * Why an outgoing request failed.
 * - blocked: every address of the host is one that we do not connect to
 * - unreachable: no address, no connection, no trusted certificate, or the connection broke
 * - timeout, aborted: by us
 * - too_large: the answer is larger than allowed
 * - redirect: too many, or to where we do not go
 */
export type OutgoingFailure = 'blocked' | 'unreachable' | 'timeout' | 'aborted' | 'too_large' | 'redirect'

/** An outgoing request failed before there was a whole answer. */
export class OutgoingRequestError extends Error {
  override readonly name = 'OutgoingRequestError'
  readonly failure: OutgoingFailure
  /** Whether the other side may have seen the request. */
  readonly wasSent: boolean

  constructor(failure: OutgoingFailure, message: string, options: { wasSent: boolean; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.failure = failure
    this.wasSent = options.wasSent
  }
}
