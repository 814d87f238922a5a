import { defineRpc, ignoreFailedCall } from '../../replication/rpc.ts'
import type { RpcCaller } from '../../replication/rpc-client.ts'
import type { RpcServer } from '../../replication/rpc-server.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamName } from '../../streams/streams.ts'

/** Work that follows streams, done by the process that has its role. */
export interface Consumer {
  readonly isHolder: boolean
  /** Settles when everything that was committed before this call is worked in. */
  catchUp(): Promise<void>
}

interface CatchUpRequest {
  readonly consumer: string
  /** Heads of the caller: what it has seen must be worked in. */
  readonly heads: readonly { readonly stream: StreamName; readonly position: number }[]
}

const CATCH_UP = defineRpc<CatchUpRequest, null>({
  name: 'consumer.catch_up',
  deadlineMs: 3000,
  retry: 'other',
  isIdempotent: true,
})

/** Serves other processes' waits for consumers that this one may run. */
export function serveCatchUp(server: RpcServer, deps: { hub: StreamHub; consumers: ReadonlyMap<string, Consumer> }): void {
  server.handle(CATCH_UP, async ({ consumer, heads }) => {
    await Promise.all(heads.map(({ stream, position }) => deps.hub.catchUpTo(stream, 0, position)))
    await deps.consumers.get(consumer)?.catchUp()
    return null
  })
}

/** Waits for a consumer wherever it runs; where that process does not answer in time, what it has done so far has to do. */
export class RoutedConsumer {
  readonly #deps: {
    readonly name: string
    readonly streams: readonly StreamName[]
    readonly local: Consumer
    readonly hub: StreamHub
    readonly rpc: RpcCaller
    holder(): string | undefined
  }

  constructor(deps: {
    name: string
    streams: readonly StreamName[]
    local: Consumer
    hub: StreamHub
    rpc: RpcCaller
    holder(): string | undefined
  }) {
    this.#deps = deps
  }

  async catchUp(): Promise<void> {
    const { name, streams, local, hub, rpc, holder } = this.#deps
    if (local.isHolder) return local.catchUp()
    const heads = streams.map((stream) => ({ stream, position: hub.head(stream) as number }))
    await rpc.call(CATCH_UP, holder(), { consumer: name, heads }, { pickTarget: holder }).catch(ignoreFailedCall)
  }
}
