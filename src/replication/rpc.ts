import type { TSchema } from 'typebox'
import { MatrixError } from '../protocol/errors.ts'
import type { JsonValue } from '../protocol/json.ts'
import type { Errcode } from '../protocol/errors.ts'

/** Calls between our processes (replication design, section 5): what both ends share. */

/** `POST` here, followed by the method's name. */
export const RPC_PATH = '/_synapse/replication/r1/'
/** Milliseconds that the caller still waits. */
export const DEADLINE_HEADER = 'x-deadline-ms'
/** `instance/boot` of the caller. */
export const FROM_HEADER = 'x-from'
/** The same in each attempt of one call. */
export const IDEM_HEADER = 'x-idem'

const BODY_BYTES_MAX = 16 * 1024 * 1024

/** `T` where it survives JSON, `never` in the places where it does not. Optional properties that are absent are fine. */
type JsonSafe<T> = T extends JsonValue | undefined | void
  ? T
  : T extends bigint | symbol | Date | Uint8Array | ReadonlyMap<unknown, unknown> | ReadonlySet<unknown>
    ? never
    : T extends (...input: never[]) => unknown
      ? never
      : T extends object
        ? { readonly [Key in keyof T]: JsonSafe<T[Key]> }
        : T

/** What happens after an attempt that certainly was not served, while the deadline lasts: the same process again, another one, nothing. */
export type RpcRetry = 'same' | 'other' | 'none'

/** One method. The type parameters say what travels; neither end may change what it was given, since a local call copies nothing. */
export interface RpcMethod<Request, Response> {
  readonly name: string
  readonly deadlineMs: number
  readonly retry: RpcRetry
  /** May be sent again when no answer came: it may have been served. */
  readonly isIdempotent: boolean
  readonly requestBytesMax: number
  readonly responseBytesMax: number
  /** What requests must look like. */
  readonly schema: TSchema | undefined
  /** Only for the types. */
  readonly types?: (request: Request) => Response
}

interface RpcDefinition {
  readonly name: string
  readonly deadlineMs: number
  readonly retry: RpcRetry
  readonly isIdempotent?: boolean
  readonly requestBytesMax?: number
  readonly responseBytesMax?: number
  readonly schema?: TSchema
}

/** Declares a method. `name` is dotted lower case and unique. Default limits: 16 MiB each way. */
export function defineRpc<Request, Response>(
  method: RpcDefinition & ([Request, Response] extends [JsonSafe<Request>, JsonSafe<Response>] ? unknown : never),
): RpcMethod<Request, Response> {
  return {
    name: method.name,
    deadlineMs: method.deadlineMs,
    retry: method.retry,
    isIdempotent: method.isIdempotent ?? false,
    requestBytesMax: method.requestBytesMax ?? BODY_BYTES_MAX,
    responseBytesMax: method.responseBytesMax ?? BODY_BYTES_MAX,
    schema: method.schema,
  }
}

/** Why a call failed, beyond what the handler says by a MatrixError. */
export type RpcCode =
  /** No connection: certainly not served. */
  | 'unreachable'
  /** The connection broke before the answer: it may have been served. */
  | 'no_answer'
  | 'timeout'
  | 'aborted'
  | 'busy'
  | 'not_owner'
  | 'unauthorized'
  | 'unknown_method'
  | 'bad_request'
  | 'too_large'
  | 'internal'

/** What a handler throws to send the caller elsewhere or to make it wait. Travels to the caller, who follows it. */
export class RpcRefusal extends Error {
  override readonly name = 'RpcRefusal'
  readonly code: 'busy' | 'not_owner'
  /** Who serves it, where that is known. */
  readonly owner: string | undefined
  readonly afterMs: number | undefined

  constructor(code: 'busy' | 'not_owner', options?: { owner?: string | undefined; afterMs?: number }) {
    super(code === 'busy' ? 'This process has too much to do' : 'This process is not the owner')
    this.code = code
    this.owner = options?.owner
    this.afterMs = options?.afterMs
  }
}

const MATRIX_ERRORS: Readonly<Partial<Record<RpcCode, readonly [Errcode, number]>>> = {
  unreachable: ['M_CONNECTION_FAILED', 503],
  no_answer: ['M_CONNECTION_FAILED', 502],
  timeout: ['M_CONNECTION_TIMEOUT', 504],
  aborted: ['M_CONNECTION_TIMEOUT', 504],
  busy: ['M_LIMIT_EXCEEDED', 503],
  not_owner: ['M_CONNECTION_FAILED', 503],
}

/** A call that failed for good. A MatrixError, so that a client whose request needed it is answered 502, 503 or 504. */
export class RpcError extends MatrixError {
  override readonly name = 'RpcError'
  readonly code: RpcCode
  readonly method: string
  readonly target: string | undefined
  readonly owner: string | undefined
  readonly afterMs: number | undefined

  constructor(
    code: RpcCode,
    options: {
      method: string
      target?: string | undefined
      owner?: string | undefined
      afterMs?: number | undefined
      cause?: unknown
      /** What the other process says. */
      detail?: string | undefined
    },
  ) {
    const [errcode, status] = MATRIX_ERRORS[code] ?? ['M_UNKNOWN', 500]
    super(errcode, 'A part of the server is not available', {
      status,
      ...(code === 'busy' ? { extra: { retry_after_ms: options.afterMs ?? 1000 } } : {}),
      cause: options.cause ?? new Error(`${options.method} to ${options.target}: ${code} ${options.detail ?? ''}`.trimEnd()),
    })
    this.code = code
    this.method = options.method
    this.target = options.target
    this.owner = options.owner
    this.afterMs = options.afterMs
  }
}

/** The body of an answer that is no 200. */
export interface WireError {
  readonly code: RpcCode | 'matrix'
  readonly retry: 'no' | 'same' | 'other'
  readonly owner?: string
  readonly after_ms?: number
  readonly message?: string
  readonly matrix?: {
    readonly errcode: string
    readonly error: string
    readonly status: number
    readonly extra?: Readonly<Record<string, unknown>>
  }
}

/**
 * For calls that only bring news forward, as the handler of their rejection: a process that cannot be reached, or fails, costs
 * time and nothing else. It has logged its own failure. What is no failure of the call is thrown on.
 */
export function ignoreFailedCall(error: unknown): undefined {
  if (!(error instanceof RpcError)) throw error
  return undefined
}
