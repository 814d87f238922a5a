import { Readable } from 'node:stream'
import type { IncomingHttpHeaders } from 'node:http'
import type { ServerName } from '../../protocol/ids.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import { defineRpc, RpcError } from '../../replication/rpc.ts'
import type { RpcCaller } from '../../replication/rpc-client.ts'
import { rendezvous } from '../../replication/rendezvous.ts'
import type { RpcServer } from '../../replication/rpc-server.ts'
import type {
  FederationClient,
  FederationRelay,
  FederationRequest,
  FederationStream,
  FederationUrlRequest,
} from '../../services/federation/federation-client.ts'
import { FederationRequestError, NotRetryingDestination } from '../../services/federation/federation-errors.ts'

/** Answers travel whole between processes; larger ones (the state of huge rooms) need a process that may connect itself. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024
const RPC_BYTES_MAX = 100 * 1024 * 1024
/** How much longer than the request itself the call may take. */
const EXTRA_MS = 5000

interface RelayedRequest {
  readonly kind: 'json' | 'stream' | 'url'
  readonly destination: string
  readonly options: JsonObject
}

interface RelayedFailure {
  readonly message: string
  readonly status?: number
  readonly errcode?: string
  readonly isRetryable: boolean
  readonly retryAtTsMs?: number
}

type RelayedAnswer =
  | { readonly json: JsonValue }
  | { readonly status: number; readonly headers: Readonly<Record<string, string | string[]>>; readonly base64: string }
  | { readonly failure: RelayedFailure }

/** Makes a request to another server for a process that may not connect there (option outbound_federation_restricted_to). */
const FEDERATION_REQUEST = defineRpc<RelayedRequest, RelayedAnswer>({
  name: 'fed.request',
  deadlineMs: 60_000 + EXTRA_MS,
  // The transaction id of a PUT makes it the same one; everything else only asks.
  retry: 'other',
  requestBytesMax: RPC_BYTES_MAX,
  responseBytesMax: RPC_BYTES_MAX,
})

/** Serves processes that may not connect to other servers. */
export function serveFederationRequests(server: RpcServer, client: FederationClient): void {
  server.handle(FEDERATION_REQUEST, async ({ kind, destination, options }, { signal }) => {
    const bytesMax = Math.min(Number(options['bytesMax'] ?? ANSWER_BYTES_MAX), ANSWER_BYTES_MAX)
    const request = { ...options, destination, signal } as unknown as FederationRequest
    try {
      if (kind === 'json') return { json: await client.request<JsonValue>(request) }
      const stream =
        kind === 'url'
          ? await client.fetchUrl({
              ...(options as unknown as FederationUrlRequest),
              bytesMax,
              destination: request.destination,
              signal,
            })
          : await client.requestStream({ ...request, bytesMax })
      const chunks: Buffer[] = []
      for await (const chunk of stream.body as AsyncIterable<Buffer>) chunks.push(chunk)
      return { status: stream.status, headers: plainHeaders(stream.headers), base64: Buffer.concat(chunks).toString('base64') }
    } catch (error) {
      if (error instanceof FederationRequestError) return { failure: toFailure(error) }
      throw error
    }
  })
}

/** Hands requests to those processes that may make them, each destination to one of them as long as it lives. */
export class RpcFederationRelay implements FederationRelay {
  readonly #rpc: RpcCaller
  readonly #candidates: () => readonly string[]

  /** `candidates`: the processes that may connect and live, or all that may where none lives. */
  constructor(deps: { rpc: RpcCaller; candidates: () => readonly string[] }) {
    this.#rpc = deps.rpc
    this.#candidates = deps.candidates
  }

  async request(options: FederationRequest): Promise<unknown> {
    const answer = await this.#call('json', options)
    return 'json' in answer ? answer.json : undefined
  }

  async requestStream(options: FederationRequest): Promise<FederationStream> {
    return toStream(await this.#call('stream', options))
  }

  async fetchUrl(options: FederationUrlRequest): Promise<FederationStream> {
    return toStream(await this.#call('url', options))
  }

  async #call(
    kind: RelayedRequest['kind'],
    request: FederationRequest | FederationUrlRequest,
  ): Promise<Exclude<RelayedAnswer, { failure: unknown }>> {
    const { destination, signal, ...options } = request
    const pickTarget = (): string | undefined => rendezvous(destination, this.#candidates())
    const deadlineMs = (options.timeoutMs ?? 60_000) + EXTRA_MS
    const call = { kind, destination, options: options as unknown as JsonObject }
    try {
      const answer = await this.#rpc.call(FEDERATION_REQUEST, pickTarget(), call, { pickTarget, deadlineMs, signal })
      if ('failure' in answer) throw fromFailure(destination, answer.failure)
      return answer
    } catch (error) {
      if (!(error instanceof RpcError)) throw error
      throw new FederationRequestError(destination, 'no process that may connect is there', { isRetryable: true, cause: error })
    }
  }
}

function plainHeaders(headers: IncomingHttpHeaders): Record<string, string | string[]> {
  return Object.fromEntries(Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])))
}

function toStream(answer: Exclude<RelayedAnswer, { failure: unknown }>): FederationStream {
  if ('json' in answer) throw new Error('A stream was asked for')
  const { status, headers, base64 } = answer
  return { status, headers, body: Readable.from([Buffer.from(base64, 'base64')]) }
}

function toFailure(error: FederationRequestError): RelayedFailure {
  const { status, errcode, isRetryable } = error
  return {
    // The name of the destination stands in front and is put there again.
    message: error.message.slice(error.destination.length + 2),
    isRetryable,
    ...(status === undefined ? {} : { status }),
    ...(errcode === undefined ? {} : { errcode }),
    ...(error instanceof NotRetryingDestination ? { retryAtTsMs: error.retryAtTsMs } : {}),
  }
}

function fromFailure(destination: ServerName, { message, retryAtTsMs, ...options }: RelayedFailure): FederationRequestError {
  if (retryAtTsMs !== undefined) return new NotRetryingDestination(destination, retryAtTsMs)
  return new FederationRequestError(destination, message, options)
}
