import type { ServerName } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { Clock } from '../../../util/clock.ts'
import type { Gate } from '../../../util/gate.ts'
import type { Logger } from '../../../util/logger.ts'
import { pause } from '../../../util/pause.ts'
import type { DestinationBackoff } from '../destination-backoff.ts'
import type { FederationRequester } from '../federation-client.ts'
import { FederationRequestError } from '../federation-errors.ts'
import { EphemeralQueue } from './ephemeral-queue.ts'
import { FULL_TRANSACTION } from './outgoing-transactions.ts'
import type { OutgoingTransaction, OutgoingTransactions, TransactionLimits } from './outgoing-transactions.ts'

const RETRY_AFTER_ERROR_MS = 1000
/** Timers are not set for longer. */
const WAIT_MAX_MS = 3600_000
/** How often the same single item may be refused before it is given up: with the back-off between. */
const REFUSALS_MAX = 3
const SINGLE: TransactionLimits = { pdus: 1, edus: 1 }

/** How many destinations are sent to at once: those that answer, and those that are only tried. */
export interface SendGates {
  readonly healthy: Gate
  readonly failing: Gate
}

interface SenderDeps {
  readonly destination: ServerName
  readonly serverName: ServerName
  readonly client: FederationRequester
  readonly backoff: DestinationBackoff
  readonly transactions: OutgoingTransactions
  readonly gates: SendGates
  readonly clock: Clock
  readonly logger: Logger
  /** Of the lease under which it is sent. */
  readonly epoch: number
  readonly signal: AbortSignal
  /** Nothing waits any more. */
  readonly onIdle: () => void
}

/**
 * Sends to one destination, one transaction at a time, in order, until nothing waits. A transaction that fails is repeated as it is,
 * after the back-off; a destination in back-off is tried once in a while and otherwise left alone.
 * Spec: server-server-api § Transactions.
 */
export class DestinationSender {
  readonly ephemeral = new EphemeralQueue()
  readonly #deps: SenderDeps
  #limits = FULL_TRANSACTION
  #refusals = 0
  #isBehind = false
  #isWanted = false
  #running: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(deps: SenderDeps) {
    this.#deps = deps
  }

  /** Looks for something to send, now or after a while. */
  wake(delayMs = 0): void {
    if (this.#deps.signal.aborted) return
    if (delayMs > 0) {
      this.#timer ??= setTimeout(() => this.#runSoon(), delayMs)
      return
    }
    this.#runSoon()
  }

  /** Settles when nothing runs any more, after the signal was aborted. */
  async ended(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    await this.#running
  }

  #runSoon(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#isWanted = true
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
      // Whoever woke it in between found it running still.
      if (this.#isWanted && !this.#deps.signal.aborted) this.#runSoon()
      else if (this.#timer === undefined && this.ephemeral.isEmpty) this.#deps.onIdle()
    })
  }

  async #run(): Promise<void> {
    const { signal, logger, destination } = this.#deps
    while (this.#isWanted && !signal.aborted) {
      this.#isWanted = false
      try {
        while (await this.#sendNext());
      } catch (error) {
        if (signal.aborted) return
        logger.error('Sending to another server failed', { destination, error })
        await pause(RETRY_AFTER_ERROR_MS, signal)
        this.#isWanted = true
      }
    }
  }

  /** Returns whether it is worth going on. */
  async #sendNext(): Promise<boolean> {
    const { destination, backoff, gates, signal, clock } = this.#deps
    if (signal.aborted) return false
    const retryAtTsMs = await backoff.retryAtTsMs(destination)
    if (retryAtTsMs > 0) {
      this.wake(Math.min(WAIT_MAX_MS, Math.max(1, retryAtTsMs - clock.nowMs())))
      return false
    }
    const isFailing = (await backoff.getRetry(destination)).failureTsMs !== undefined
    if (isFailing) this.#isBehind = true
    return (isFailing ? gates.failing : gates.healthy).run(() => this.#exchange(isFailing))
  }

  async #exchange(isFailing: boolean): Promise<boolean> {
    const { destination, serverName, client, transactions, signal, epoch, backoff, clock } = this.#deps
    if (signal.aborted) return false
    const options = { limits: this.#limits, isBehind: this.#isBehind, ephemeral: this.ephemeral, epoch }
    const transaction = await transactions.next(destination, options)
    if (!transaction) return false
    const startedTsMs = clock.nowMs()
    try {
      const answer = await client.request({
        destination,
        method: 'PUT',
        path: `/_matrix/federation/v1/send/${encodeURIComponent(transaction.txnId)}`,
        body: {
          origin: serverName,
          origin_server_ts: transaction.createdTsMs,
          pdus: transaction.pdus,
          edus: transaction.edus,
        },
        retries: isFailing ? 'none' : 'long',
        areRefusalsFailures: true,
        signal,
      })
      await this.#succeed(transaction, answer)
      return true
    } catch (error) {
      if (!(error instanceof FederationRequestError) || signal.aborted) throw error
      this.ephemeral.putBack(transaction.isStored ? [] : transaction.ephemeral)
      const isRefused = error.status === 400 || error.status === 413
      this.#deps.logger.info('A server did not take a transaction', {
        destination,
        txnId: transaction.txnId,
        reason: error.message,
      })
      if (isRefused) return this.#refused(transaction, startedTsMs)
      // The client has noted the failure: the next round waits.
      if ((await backoff.retryAtTsMs(destination)) === 0) await pause(RETRY_AFTER_ERROR_MS, signal)
      return true
    }
  }

  async #succeed(transaction: OutgoingTransaction, answer: unknown): Promise<void> {
    const { destination, transactions, logger } = this.#deps
    await transactions.finish(destination, transaction)
    // What came after a repeated transaction is not looked through yet.
    if (!transaction.isRepeated) this.#isBehind = false
    this.#refusals = 0
    this.#limits = {
      pdus: Math.min(FULL_TRANSACTION.pdus, this.#limits.pdus * 2),
      edus: Math.min(FULL_TRANSACTION.edus, Math.max(1, this.#limits.edus * 2)),
    }
    for (const [eventId, reason] of failedPdus(answer)) logger.warn('A server refused an event', { destination, eventId, reason })
    logger.debug('A transaction was taken', {
      destination,
      txnId: transaction.txnId,
      pdus: transaction.pdus.length,
      edus: transaction.edus.length,
    })
  }

  /** Finds what it is in a transaction that the peer does not take, and gives that up in the end: nothing else must wait for it. */
  async #refused(transaction: OutgoingTransaction, startedTsMs: number): Promise<boolean> {
    const { destination, transactions, backoff, logger } = this.#deps
    const { pdus, edus, txnId } = transaction
    if (pdus.length + edus.length > 1) {
      this.#limits = pdus.length > 0 && edus.length > 0 ? { pdus: 1, edus: 0 } : SINGLE
      await transactions.giveUp(destination, transaction)
      return true
    }
    this.#refusals++
    if (this.#refusals < REFUSALS_MAX) {
      await backoff.recordFailure(destination, startedTsMs)
      return true
    }
    logger.warn('A server does not take something, which is given up', { destination, txnId, pdus, edus })
    await transactions.finish(destination, transaction)
    this.#refusals = 0
    return true
  }
}

function failedPdus(answer: unknown): [string, string][] {
  const pdus = isJsonObject(answer) ? answer['pdus'] : undefined
  if (!isJsonObject(pdus)) return []
  return Object.entries(pdus).flatMap(([eventId, result]) => {
    const error = isJsonObject(result) ? result['error'] : undefined
    return error === undefined ? [] : [[eventId, String(error).slice(0, 200)] as [string, string]]
  })
}
