import { MatrixError } from '../../protocol/errors.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { ControlMessage, Transport } from '../../replication/transport.ts'
import type { Database } from '../../storage/database.ts'
import {
  endDelayedEvents,
  getDelayedEvent,
  getDelayedEventsOfUser,
  insertDelayedEvent,
  restartDelayedEvent,
} from '../../storage/tables/delayed-events.ts'
import type { DelayedEventRow } from '../../storage/tables/delayed-events.ts'
import type { Clock } from '../../util/clock.ts'
import type { Random } from '../../util/random.ts'
import { internalRequester } from '../accounts/internal-requester.ts'
import type { Requester } from '../accounts/requester.ts'
import type { EventCreator } from '../events/event-creator.ts'

const WAKE = 'delayed_events_wake'
const ID_LETTERS = 32
const WAITING_PER_USER_MAX = 100

/** What a client wants to be sent later. */
export interface DelayedEventRequest {
  readonly roomId: RoomId
  readonly type: string
  /** A state event where it is set. */
  readonly stateKey: string | undefined
  readonly content: JsonObject
  readonly originServerTs: number | undefined
  readonly transactionId: string | undefined
  readonly delayMs: number
}

/** What may be done with an event that waits. */
export const DELAYED_EVENT_ACTIONS = ['cancel', 'restart', 'send'] as const
export type DelayedEventAction = (typeof DELAYED_EVENT_ACTIONS)[number]

/** Events that wait: written down by any process, sent by the one that has the role (DelayedEventSender). MSC4140. */
export class DelayedEvents {
  readonly #database: Database
  readonly #clock: Clock
  readonly #random: Random
  readonly #transport: Pick<Transport, 'publishControl' | 'onControl'>
  readonly #events: Pick<EventCreator, 'send' | 'setState'>
  readonly #delayMaxMs: number | undefined
  readonly #wakers: (() => void)[] = []

  constructor(deps: {
    database: Database
    clock: Clock
    random: Random
    transport: Pick<Transport, 'publishControl' | 'onControl'>
    events: Pick<EventCreator, 'send' | 'setState'>
    /** Option max_event_delay_duration; undefined: there are none. */
    delayMaxMs: number | undefined
  }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#random = deps.random
    this.#transport = deps.transport
    this.#events = deps.events
    this.#delayMaxMs = deps.delayMaxMs
    deps.transport.onControl((message: ControlMessage) => {
      if (message.kind === WAKE) this.#wakeHere()
    })
  }

  /** Whether the server has them. */
  get isEnabled(): boolean {
    return this.#delayMaxMs !== undefined
  }

  /** Registers who is told that there is something to look for. A hint: it may get lost. */
  onWake(waker: () => void): void {
    this.#wakers.push(waker)
  }

  #wakeHere(): void {
    for (const waker of this.#wakers) waker()
  }

  #wake(): void {
    this.#wakeHere()
    this.#transport.publishControl({ kind: WAKE })
  }

  /** Writes an event down and returns the id to manage it with. Throws M_INVALID_PARAM, M_UNKNOWN, M_USER_SUSPENDED. */
  async schedule(requester: Requester, request: DelayedEventRequest): Promise<string> {
    const { delayMs } = request
    if (this.#delayMaxMs === undefined)
      throw refusal(403, 'Delayed events are not supported on this server', 'M_MAX_DELAY_UNSUPPORTED')
    if (!Number.isSafeInteger(delayMs) || delayMs < 0)
      throw new MatrixError('M_INVALID_PARAM', 'The delay must be a number of milliseconds')
    if (delayMs > this.#delayMaxMs)
      throw refusal(400, 'The requested delay exceeds the allowed maximum', 'M_MAX_DELAY_EXCEEDED', {
        'org.matrix.msc4140.max_delay': this.#delayMaxMs,
      })
    if (requester.isSuspended)
      throw new MatrixError('M_USER_SUSPENDED', 'Sending messages while account is suspended is not allowed.')
    const row: DelayedEventRow = {
      delayId: this.#random.letters(ID_LETTERS),
      userId: requester.userId,
      txnDevice: requester.deviceId ?? String(requester.accessTokenId),
      txnId: request.transactionId ?? '',
      roomId: request.roomId,
      type: request.type,
      stateKey: request.stateKey ?? null,
      originServerTsMs: request.originServerTs ?? null,
      contentJson: JSON.stringify(request.content),
      delayMs,
      runningSinceMs: this.#clock.nowMs(),
    }
    const delayId = await insertDelayedEvent(this.#database, row, WAITING_PER_USER_MAX)
    if (delayId === undefined) throw refusal(400, 'Too many of your events wait already', 'M_MAX_DELAYED_EVENTS_EXCEEDED')
    this.#wake()
    return delayId
  }

  /** What waits of a user. */
  getOfUser(userId: UserId): Promise<readonly DelayedEventRow[]> {
    return getDelayedEventsOfUser(this.#database, userId)
  }

  /** Cancels one that waits, lets its time run anew, or sends it now. Throws M_NOT_FOUND, and what sending throws. */
  async manage(delayId: string, action: DelayedEventAction): Promise<void> {
    const row = await getDelayedEvent(this.#database, delayId)
    if (!row) throw new MatrixError('M_NOT_FOUND', 'Delayed event not found')
    const nowMs = this.#clock.nowMs()
    if (action === 'restart') {
      if (!(await restartDelayedEvent(this.#database, delayId, nowMs)))
        throw new MatrixError('M_NOT_FOUND', 'Delayed event not found')
      this.#wake()
      return
    }
    if (action === 'send') await this.send(row)
    await endDelayedEvents(this.#database, [delayId], nowMs)
  }

  /** Sends an event in its user's name; twice is once. Throws what sending throws. */
  async send(row: DelayedEventRow): Promise<void> {
    const requester = internalRequester(row.userId)
    const { roomId, type, delayId } = row
    const content = JSON.parse(row.contentJson) as JsonObject
    const originServerTs = row.originServerTsMs ?? undefined
    if (row.stateKey === null)
      await this.#events.send(requester, { roomId, type, content, transactionId: `delayed ${delayId}`, originServerTs })
    // State that is there already is not set again.
    else await this.#events.setState(requester, { roomId, type, stateKey: row.stateKey, content, originServerTs })
  }
}

function refusal(status: number, message: string, errcode: string, extra: JsonObject = {}): MatrixError {
  return new MatrixError('M_UNKNOWN', message, { status, extra: { 'org.matrix.msc4140.errcode': errcode, ...extra } })
}
