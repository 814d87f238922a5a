import type { Readable } from 'node:stream'
import type { ServerName } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'

/** A request to another server. */
export interface FederationRequest {
  readonly destination: ServerName
  readonly method: 'GET' | 'PUT' | 'POST'
  /** Path and query, percent-encoded, from `/_matrix/` on. */
  readonly path: string
  readonly body?: JsonObject
  /** The longest wait for the whole answer, all tries together. `federation.client_timeout` by default. */
  readonly timeoutMs?: number
  /** The largest answer that is read. */
  readonly bytesMax?: number
  /** Asks although the destination is in back-off; such a request does not prolong it either. */
  readonly isBackoffIgnored?: boolean
  /** How often a failed GET or PUT is tried again: as configured for when a user waits (default), for the background, or never. */
  readonly retries?: 'none' | 'short' | 'long'
  readonly signal?: AbortSignal
}

/** An answer whose body is read by the caller, who must read it to its end or destroy it. */
export interface FederationStream {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body: Readable
}

/** Sends signed requests to other servers. Throws FederationRequestError, NotRetryingDestination. */
export declare class FederationClient {
  /** Returns the parsed body of a 2xx answer. */
  request<T = unknown>(options: FederationRequest): Promise<T>
  /** Returns the answer as soon as its headers are there. Redirects are followed unsigned, for media. */
  requestStream(options: FederationRequest): Promise<FederationStream>
}
