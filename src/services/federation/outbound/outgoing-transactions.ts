import type { ServerName } from '../../../protocol/ids.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import type { Database } from '../../../storage/database.ts'
import {
  countQueuedEvents,
  deleteTransaction,
  deleteQueuedEvents,
  finishTransaction,
  getQueuedEdus,
  getQueuedEvents,
  getStoredTransaction,
  getTransactionContent,
  insertTransaction,
  keepNewestEdus,
  keepNewestOfRooms,
} from '../../../storage/tables/destination-queues.ts'
import type { OutgoingPdu } from '../../../storage/tables/destination-queues.ts'
import { FencedError } from '../../../storage/tables/consumer-cursors.ts'
import type { Clock } from '../../../util/clock.ts'
import type { Random } from '../../../util/random.ts'
import { pduText } from '../pdu-text.ts'
import type { EphemeralItem, EphemeralQueue } from './ephemeral-queue.ts'

/** What one transaction may hold. */
export interface TransactionLimits {
  readonly pdus: number
  readonly edus: number
}

/** Spec: server-server-api § Transactions. */
export const FULL_TRANSACTION: TransactionLimits = { pdus: 50, edus: 100 }
/** With more waiting after an outage, the destination gets only the newest event of each room, and asks for what it wants besides. */
const CATCH_UP_EVENTS = 50

/** A transaction ready to be sent. */
export interface OutgoingTransaction {
  readonly txnId: string
  readonly createdTsMs: number
  readonly pdus: readonly JsonObject[]
  readonly edus: readonly JsonObject[]
  /** What of the EDUs waited in memory. */
  readonly ephemeral: readonly EphemeralItem[]
  /** It is repeated as it is when it fails; else what is in it may be lost. */
  readonly isStored: boolean
  /** It was made for an earlier try, or by an earlier process. */
  readonly isRepeated: boolean
}

/** Makes transactions of what waits for destinations. What must arrive is stored with the transaction's id before it is sent. */
export class OutgoingTransactions {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random

  constructor(deps: { database: Database; clock: Clock; random: Random }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#random = deps.random
  }

  /** The transaction under way, or a new one; undefined when nothing waits. Throws FencedError where another sender took over. */
  async next(
    destination: ServerName,
    options: {
      readonly limits: TransactionLimits
      /** It was away: there may be more than it needs. */
      readonly isBehind: boolean
      readonly ephemeral: EphemeralQueue
      readonly epoch: number
    },
  ): Promise<OutgoingTransaction | undefined> {
    const stored = await this.#loadStored(destination)
    if (stored) return stored
    if (options.isBehind) await this.#shorten(destination)
    const { limits } = options
    const [events, queuedEdus] = await Promise.all([
      getQueuedEvents(this.#database, destination, limits.pdus),
      getQueuedEdus(this.#database, destination, limits.edus),
    ])
    const gone = events.filter((event) => event.json === null)
    if (gone.length > 0) await deleteQueuedEvents(this.#database, destination, positionsOf(gone))
    const nowMs = this.#clock.nowMs()
    const room = Math.max(0, limits.edus - queuedEdus.length)
    const { edus: ephemeralEdus, items } = options.ephemeral.take(room, nowMs)
    const sendable = events.filter((event) => event.json !== null)
    if (sendable.length + queuedEdus.length + ephemeralEdus.length === 0)
      return gone.length > 0 || limits.edus === 0 ? this.next(destination, { ...options, limits: FULL_TRANSACTION }) : undefined
    // Never the same again, also after the database was restored from a copy.
    const txnId = `${nowMs}-${this.#random.letters(8)}`
    const isStored = sendable.length + queuedEdus.length > 0
    if (isStored) {
      const isOurs = await insertTransaction(this.#database, destination, {
        txnId,
        createdTsMs: nowMs,
        positions: positionsOf(sendable),
        eduSeqs: queuedEdus.map((edu) => edu.seq),
        edus: JSON.stringify(ephemeralEdus),
        epoch: options.epoch,
      })
      if (!isOurs) throw new FencedError(`Another process sends to ${destination}`)
    }
    const pdus = sendable.map(toPdu)
    const edus = [...queuedEdus.map(toEdu), ...ephemeralEdus]
    return { txnId, createdTsMs: nowMs, pdus, edus, ephemeral: items, isStored, isRepeated: false }
  }

  /** The destination has taken it. */
  async finish(destination: ServerName, transaction: OutgoingTransaction): Promise<void> {
    if (transaction.isStored) await finishTransaction(this.#database, destination, transaction.txnId)
  }

  /** It will not be sent again as it is; what is in it waits as before. */
  async giveUp(destination: ServerName, transaction: OutgoingTransaction): Promise<void> {
    if (transaction.isStored) await deleteTransaction(this.#database, destination, transaction.txnId)
  }

  async #loadStored(destination: ServerName): Promise<OutgoingTransaction | undefined> {
    const stored = await getStoredTransaction(this.#database, destination)
    if (!stored) return undefined
    const { pdus, edus } = await getTransactionContent(this.#database, destination, stored)
    const further = JSON.parse(stored.edus) as JsonObject[]
    return {
      txnId: stored.txnId,
      createdTsMs: stored.createdTsMs,
      pdus: pdus.map(toPdu),
      edus: [...edus.map(toEdu), ...further],
      ephemeral: [],
      isStored: true,
      isRepeated: true,
    }
  }

  async #shorten(destination: ServerName): Promise<void> {
    if ((await countQueuedEvents(this.#database, destination, CATCH_UP_EVENTS + 1)) <= CATCH_UP_EVENTS) return
    await Promise.all([keepNewestOfRooms(this.#database, [destination]), keepNewestEdus(this.#database, [destination])])
  }
}

function positionsOf(events: readonly OutgoingPdu[]): number[] {
  return events.map((event) => event.position)
}

function toPdu({ json, redactedBy, roomVersion }: OutgoingPdu): JsonObject {
  return JSON.parse(pduText({ json: json ?? '{}', redactedBy, roomVersion: roomVersion ?? '' })) as JsonObject
}

function toEdu({ json }: { readonly json: string }): JsonObject {
  return JSON.parse(json) as JsonObject
}
