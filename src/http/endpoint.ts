import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'

export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'DELETE'

/** What an endpoint is asked. Nothing of it is checked yet but the path. */
export interface HttpRequest {
  readonly method: HttpMethod
  /** Path and query as they came. */
  readonly url: string
  /** Path parameters, percent-decoded. */
  readonly params: Readonly<Record<string, string>>
  /** Query parameters, decoded; all values of a repeated one. */
  readonly query: ReadonlyMap<string, readonly string[]>
  readonly headers: IncomingHttpHeaders
  /** The Authorization headers: servers may send several, of which `headers` holds the first. */
  readonly authorizations: readonly string[]
  /** The client's address, from X-Forwarded-For where the listener trusts it. */
  readonly remoteAddress: string
  /** Aborted when the client has gone, or the server stops: whatever only waits must answer with what it has. */
  readonly signal: AbortSignal
  /** Reads the whole body. Throws M_TOO_LARGE above the limit. */
  readBody(bytesMax: number): Promise<Buffer>
  /** The body as a stream, for uploads. */
  readonly bodyStream: Readable
}

/** An answer. A string body is sent as it is (it is JSON already when `contentType` says so). */
export interface HttpResponse {
  readonly status: number
  readonly contentType?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer | Readable
}

/** One endpoint: method, paths, who may serve it, and what runs. */
export interface Endpoint<Context> {
  /** The spec's operationId; unique. */
  readonly operationId: string
  readonly method: HttpMethod
  /** Fastify syntax (`:roomId`). The first is the current path, the rest are historical or unstable ones. */
  readonly paths: readonly string[]
  /** The listener resource that exposes it. */
  readonly resource: ListenerResource
  /** A key of ENDPOINT_GROUPS. */
  readonly group: string
  run(request: HttpRequest, context: Context): Promise<HttpResponse>
}

export type ListenerResource =
  | 'client'
  | 'federation'
  | 'media'
  | 'keys'
  | 'openid'
  | 'consent'
  | 'static'
  | 'replication'
  | 'metrics'
  | 'health'

/** An answer of JSON from a value. */
export function jsonResponse(value: unknown, status = 200, headers?: Record<string, string>): HttpResponse {
  return { status, contentType: 'application/json', body: JSON.stringify(value), ...(headers ? { headers } : {}) }
}

/** JSON that is serialised already: handlers on hot paths return it instead of a value. */
export class SerializedJson {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** An answer with a status or headers of its own; handlers return it instead of a value. */
export class OwnResponse {
  readonly response: HttpResponse

  constructor(response: HttpResponse) {
    this.response = response
  }
}

/** Makes the answer of what a handler returned: a value, SerializedJson or OwnResponse. */
export function toHttpResponse(result: unknown): HttpResponse {
  if (result instanceof SerializedJson) return { status: 200, contentType: 'application/json', body: result.text }
  if (result instanceof OwnResponse) return result.response
  return jsonResponse(result)
}
