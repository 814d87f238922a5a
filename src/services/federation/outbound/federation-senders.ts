import { hash } from 'node:crypto'
import type { ServerName } from '../../../protocol/ids.ts'
import type { ControlMessage, Transport } from '../../../replication/transport.ts'
import { getWaitingDestinations } from '../../../storage/tables/destination-queues.ts'
import type { Database } from '../../../storage/database.ts'
import type { Background } from '../../../util/background.ts'
import type { Clock } from '../../../util/clock.ts'
import { Gate } from '../../../util/gate.ts'
import type { Logger } from '../../../util/logger.ts'
import type { DestinationBackoff } from '../destination-backoff.ts'
import type { FederationRequester } from '../federation-client.ts'
import { DestinationSender } from './destination-sender.ts'
import type { SendGates } from './destination-sender.ts'
import type { EphemeralItem } from './ephemeral-queue.ts'
import type { OutgoingTransactions } from './outgoing-transactions.ts'

/**
 * How many parts the destinations are divided into. Each is a lease that is renewed and looked at by every process, so not more
 * than any deployment has senders: the shares of 16 can be spread well over up to about eight processes.
 */
export const SENDER_SHARDS = 16
const WAKE = 'federation_wake'
/** Destinations that one message names. */
const WAKE_NAMES_MAX = 200
/** Messages between processes may get lost: so often the database is asked who waits. */
const LOOK_INTERVAL_MS = 10_000
const CONCURRENCY = { healthy: 100, failing: 20 } as const
/** Receipts and presence come in crowds. */
const GATHER_MS = 100

interface Shard {
  readonly epoch: number
  readonly signal: AbortSignal
}

/** The part that a destination belongs to. */
export function senderShardOf(destination: ServerName): number {
  return hash('sha256', destination, 'buffer').readUInt32BE() % SENDER_SHARDS
}

/**
 * Sends to the destinations of the parts that this process holds. What must arrive waits in PostgreSQL, so that whoever takes a part
 * over goes on where the last one was; a wake-up is a hint, and who missed it finds out by looking.
 */
export class FederationSenders {
  readonly #deps: FederationSendersDeps
  readonly #gates: SendGates = {
    healthy: new Gate({ runningMax: CONCURRENCY.healthy, waitingMax: Infinity }),
    failing: new Gate({ runningMax: CONCURRENCY.failing, waitingMax: Infinity }),
  }
  readonly #shards = new Map<number, Shard>()
  /** Those that have something to send, or wait for a try. */
  readonly #senders = new Map<ServerName, DestinationSender>()
  #timer: NodeJS.Timeout | undefined

  constructor(deps: FederationSendersDeps) {
    this.#deps = deps
    deps.backoff.onServerUp((destination) => this.#wakeOne(destination))
    deps.transport.onControl((message) => {
      for (const destination of namesIn(message)) this.#wakeOne(destination as ServerName)
    })
  }

  /** Takes a part over. */
  start(shard: number, lease: Shard): Promise<void> {
    this.#shards.set(shard, lease)
    this.#lookSoon(0)
    return Promise.resolve()
  }

  /** Gives a part back, its lease's signal being aborted; settles when nothing is sent any more. */
  async stop(shard: number): Promise<void> {
    this.#shards.delete(shard)
    if (this.#shards.size === 0) {
      clearTimeout(this.#timer)
      this.#timer = undefined
    }
    const own = [...this.#senders].filter(([destination]) => senderShardOf(destination) === shard)
    for (const [destination] of own) this.#senders.delete(destination)
    await Promise.all(own.map(([, sender]) => sender.ended()))
  }

  /** Whether this process sends to the destination. */
  isSenderOf(destination: ServerName): boolean {
    return this.#shards.size > 0 && this.#shards.has(senderShardOf(destination))
  }

  /** Whether this process sends to anybody. */
  get isSending(): boolean {
    return this.#shards.size > 0
  }

  /** Tells whoever sends to the destinations that something waits: in this process and in the others. */
  wake(destinations: Iterable<ServerName>): void {
    const others: ServerName[] = []
    for (const destination of destinations) if (!this.#wakeOne(destination)) others.push(destination)
    for (let start = 0; start < others.length; start += WAKE_NAMES_MAX)
      this.#deps.transport.publishControl({ kind: WAKE, destinations: others.slice(start, start + WAKE_NAMES_MAX) })
  }

  /** Adds what waits in memory only; nothing for a destination that can not be reached now. */
  async addEphemeral(destination: ServerName, item: EphemeralItem): Promise<void> {
    if (item.kind !== 'receipt' && (await this.#deps.backoff.retryAtTsMs(destination)) > 0) return
    const sender = this.#get(destination)
    sender?.ephemeral.add(item)
    sender?.wake(item.kind === 'typing' ? 0 : GATHER_MS)
  }

  #wakeOne(destination: ServerName): boolean {
    const sender = this.#get(destination)
    sender?.wake()
    return sender !== undefined
  }

  #get(destination: ServerName): DestinationSender | undefined {
    const lease = this.#shards.size === 0 ? undefined : this.#shards.get(senderShardOf(destination))
    if (!lease || lease.signal.aborted) return undefined
    const known = this.#senders.get(destination)
    if (known) return known
    const sender: DestinationSender = new DestinationSender({
      ...this.#deps,
      destination,
      gates: this.#gates,
      epoch: lease.epoch,
      signal: lease.signal,
      onIdle: () => {
        if (this.#senders.get(destination) === sender) this.#senders.delete(destination)
      },
    })
    this.#senders.set(destination, sender)
    return sender
  }

  #lookSoon(delayMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#deps.background.run('federation: who waits', async () => {
        try {
          for (const destination of await getWaitingDestinations(this.#deps.database))
            if (!this.#senders.has(destination)) this.#wakeOne(destination)
        } finally {
          if (this.#shards.size > 0) this.#lookSoon(LOOK_INTERVAL_MS)
        }
      })
    }, delayMs)
  }
}

interface FederationSendersDeps {
  readonly database: Database
  readonly serverName: ServerName
  readonly client: FederationRequester
  readonly backoff: DestinationBackoff
  readonly transactions: OutgoingTransactions
  readonly transport: Pick<Transport, 'publishControl' | 'onControl'>
  readonly background: Background
  readonly clock: Clock
  readonly logger: Logger
}

function namesIn(message: ControlMessage): string[] {
  const names = message.kind === WAKE ? message['destinations'] : undefined
  return Array.isArray(names) ? names.filter((name) => typeof name === 'string') : []
}
