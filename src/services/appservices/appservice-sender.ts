import { OutgoingRequestError } from '../../http/outgoing-errors.ts'
import type { Database } from '../../storage/database.ts'
import {
  finishAppserviceTransaction,
  getAppserviceRetry,
  getOldestAppserviceTransaction,
  setAppserviceRetry,
} from '../../storage/tables/appservices.ts'
import { getUser } from '../../storage/tables/users.ts'
import type { Clock } from '../../util/clock.ts'
import { createDeferred } from '../../util/deferred.ts'
import type { Logger } from '../../util/logger.ts'
import { pause } from '../../util/pause.ts'
import type { Appservice } from './appservice.ts'
import { AppserviceError } from './appservice-client.ts'
import type { AppserviceClient } from './appservice-client.ts'
import type { InterestingEvent } from './appservice-stream-reader.ts'
import type { AppserviceTransactions } from './appservice-transactions.ts'

const RETRY_MS_MIN = 1000
const RETRY_MS_MAX = 300_000
const RETRY_AFTER_ERROR_MS = 1000

/**
 * Sends to one application service, one transaction at a time, in order, each repeated as it is until it is taken. While the service is
 * away nothing is made: what it misses waits in the streams.
 */
export class AppserviceSender {
  readonly #database: Database
  readonly #appservice: Appservice
  readonly #client: AppserviceClient
  readonly #transactions: AppserviceTransactions
  readonly #clock: Clock
  readonly #logger: Logger
  #retry = { retryMs: 0, retryAtTsMs: 0 }
  #running: Promise<void> | undefined
  #wake = createDeferred<void>()

  constructor(deps: {
    database: Database
    appservice: Appservice
    client: AppserviceClient
    transactions: AppserviceTransactions
    clock: Clock
    logger: Logger
  }) {
    this.#database = deps.database
    this.#appservice = deps.appservice
    this.#client = deps.client
    this.#transactions = deps.transactions
    this.#clock = deps.clock
    this.#logger = deps.logger
    deps.transactions.onAdvance(() => this.#wake.resolve())
  }

  /** Takes the role. */
  async start({ epoch, signal }: { readonly epoch: number; readonly signal: AbortSignal }): Promise<void> {
    await this.#transactions.load(epoch)
    this.#retry = await getAppserviceRetry(this.#database, this.#appservice.id)
    signal.addEventListener('abort', () => this.#wake.resolve(), { once: true })
    this.#running = this.#run(epoch, signal)
  }

  /** Gives the role back, its signal being aborted; settles when nothing of it runs any more. */
  async stop(): Promise<void> {
    this.#transactions.stop()
    await this.#running
  }

  async #run(epoch: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#wake = createDeferred<void>()
      try {
        if (await this.#waitForRetry(signal)) continue
        if (!(await this.#sendOldest(signal)) && !(await this.#makeNext(epoch))) await this.#wake.promise
      } catch (error) {
        if (signal.aborted) return
        if (error instanceof AppserviceError || error instanceof OutgoingRequestError) await this.#noteFailure(error)
        else {
          // What was read and not stored is read again.
          this.#transactions.restart()
          this.#logger.error('Sending to an application service failed', { appservice: this.#appservice.id, error })
          await pause(RETRY_AFTER_ERROR_MS, signal)
        }
      }
    }
  }

  /** Returns whether it has waited. */
  async #waitForRetry(signal: AbortSignal): Promise<boolean> {
    const waitMs = this.#retry.retryAtTsMs - this.#clock.nowMs()
    if (waitMs <= 0) return false
    await pause(Math.min(waitMs, RETRY_MS_MAX), signal)
    return true
  }

  /** Returns whether there was one. */
  async #sendOldest(signal: AbortSignal): Promise<boolean> {
    const transaction = await getOldestAppserviceTransaction(this.#database, this.#appservice.id)
    if (!transaction) return false
    await this.#client.sendTransaction(this.#appservice, transaction, signal)
    await finishAppserviceTransaction(this.#database, { appserviceId: this.#appservice.id, txnId: transaction.txnId })
    this.#retry = { retryMs: 0, retryAtTsMs: 0 }
    return true
  }

  /** Returns whether it is worth going on at once. */
  async #makeNext(epoch: number): Promise<boolean> {
    const isMore = await this.#transactions.makeNext(epoch, (event) => this.#offerUser(event))
    return isMore || (await getOldestAppserviceTransaction(this.#database, this.#appservice.id)) !== undefined
  }

  /** Somebody invites a user whom the service could make. */
  async #offerUser({ invitee }: InterestingEvent): Promise<void> {
    if (invitee === undefined || (await getUser(this.#database, invitee))) return
    await this.#client.knows(this.#appservice, 'users', invitee)
  }

  async #noteFailure(error: Error): Promise<void> {
    const retryMs = Math.min(Math.max(this.#retry.retryMs * 2, RETRY_MS_MIN), RETRY_MS_MAX)
    this.#retry = { retryMs, retryAtTsMs: this.#clock.nowMs() + retryMs }
    this.#logger.warn('An application service did not take a transaction', { appservice: this.#appservice.id, retryMs, error })
    await setAppserviceRetry(this.#database, { appserviceId: this.#appservice.id, ...this.#retry })
  }
}
