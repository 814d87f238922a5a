import type { Database } from '../../storage/database.ts'
import { advanceCursor, getCursor } from '../../storage/tables/consumer-cursors.ts'
import type { CursorKey } from '../../storage/tables/consumer-cursors.ts'
import { getPushActionsSince } from '../../storage/tables/event-push-actions.ts'
import { getEventsSince } from '../../storage/tables/events.ts'
import { insertBadgePushes, insertPushes } from '../../storage/tables/push-queue.ts'
import { getReceiptRowsSince } from '../../storage/tables/receipts.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import { STREAMS } from '../../streams/streams.ts'
import type { EventRow, StreamPosition } from '../../streams/streams.ts'
import type { Clock } from '../../util/clock.ts'
import { FollowedStream } from '../federation/outbound/followed-stream.ts'
import type { NotifyingEvent, PushRecipients } from './push-recipients.ts'
import { pusherShardOf } from './push-shards.ts'

const CONSUMER = 'push_router'
const BATCH_EVENTS = 200
const PAGE_POSITIONS = 500
/** Events that wait in memory; of more the router reads from the database. */
const BUFFER_EVENTS_MAX = 5000
/** The cursors are moved over what concerns nobody only so often: once for as many positions. */
const CURSOR_STRIDE = 1000
const EVENTS_CURSOR = { consumer: CONSUMER, stream: STREAMS.events.number, lane: 0 }
const RECEIPTS_CURSOR = { consumer: CONSUMER, stream: STREAMS.receipts.number, lane: 0 }

/** Wakes whoever sends the pushes of these users. */
export type WakePushers = (userIds: ReadonlySet<string>) => void

/**
 * Decides which pushers have something to send: follows the streams of events and receipts, and writes the queues of pushers in the
 * same transaction as its cursors, so that nothing is queued twice or left out, whoever takes the role over.
 */
export class PushRouter {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #recipients: PushRecipients
  readonly #kinds: readonly string[]
  readonly #clock: Clock
  readonly #wake: WakePushers
  readonly #events: FollowedStream
  readonly #receipts: FollowedStream
  /** Notifying events after `#floor`. */
  #buffer: NotifyingEvent[] = []
  #floor = 0
  readonly #done = { events: 0, receipts: 0 }
  readonly #stored = { events: 0, receipts: 0 }

  constructor(deps: {
    database: Database
    hub: StreamHub
    recipients: PushRecipients
    /** Kinds of pushers that are sent to. */
    kinds: readonly string[]
    clock: Clock
    wake: WakePushers
    onError: (error: unknown) => void
  }) {
    const { database, hub, onError } = deps
    this.#database = database
    this.#hub = hub
    this.#recipients = deps.recipients
    this.#kinds = deps.kinds
    this.#clock = deps.clock
    this.#wake = deps.wake
    this.#events = new FollowedStream({
      hub,
      stream: 'events',
      load: (epoch) => this.#load('events', EVENTS_CURSOR, epoch),
      takeBatch: (epoch, signal) => this.#routeEvents(epoch, signal),
      onError,
    })
    this.#receipts = new FollowedStream({
      hub,
      stream: 'receipts',
      load: (epoch) => this.#load('receipts', RECEIPTS_CURSOR, epoch),
      takeBatch: (epoch, signal) => this.#routeReceipts(epoch, signal),
      onError,
    })
    hub.onRow('events', (row, position) => this.#note(row, position))
    hub.onReset('events', (head) => this.#dropBuffer(head))
  }

  /** Takes the role. */
  async start(epoch: number): Promise<void> {
    this.#recipients.forget()
    this.#dropBuffer(this.#hub.head('events'))
    await Promise.all([this.#events.start(epoch), this.#receipts.start(epoch)])
  }

  /** Gives the role back; settles when nothing of it runs any more. */
  async stop(): Promise<void> {
    await Promise.all([this.#events.stop(), this.#receipts.stop()])
    this.#buffer = []
  }

  /** The first time, it begins with now: nobody wants to be told of all that ever was. */
  async #load(stream: 'events' | 'receipts', cursor: CursorKey, epoch: number): Promise<void> {
    const stored = await getCursor(this.#database, cursor)
    const pos = stored === 0 ? this.#hub.head(stream) : stored
    await advanceCursor(this.#database, { ...cursor, pos, epoch })
    this.#done[stream] = this.#stored[stream] = pos
  }

  #note(row: EventRow, position: number): void {
    if (!this.#events.isRunning || (!row.push.isNotifying && !row.push.actions.some((action) => action.isNotify))) return
    if (this.#buffer.length >= BUFFER_EVENTS_MAX) this.#dropBuffer(position)
    else {
      const { eventId, roomId, sender, push } = row
      this.#buffer.push({ position, eventId, roomId, sender, push })
    }
  }

  #dropBuffer(head: number): void {
    this.#buffer = []
    this.#floor = head
  }

  async #routeEvents(epoch: number, signal: AbortSignal): Promise<boolean> {
    const head = this.#hub.head('events')
    if (head <= this.#done.events) return false
    const { events, upTo } = await this.#nextEvents(head)
    const pushes = await this.#recipients.find(events)
    if (signal.aborted) return false
    if (pushes.length > 0 || upTo - this.#stored.events >= CURSOR_STRIDE) {
      await this.#database.transaction('route_pushes', async (tx) => {
        await advanceCursor(tx, { ...EVENTS_CURSOR, pos: upTo, epoch })
        if (pushes.length > 0) await insertPushes(tx, pushes, { nowMs: this.#clock.nowMs(), kinds: this.#kinds })
      })
      this.#stored.events = upTo
    }
    this.#done.events = upTo
    if (pushes.length > 0) this.#wake(new Set(pushes.map((push) => push.userId)))
    return this.#hub.head('events') > upTo
  }

  async #nextEvents(head: number): Promise<{ events: readonly NotifyingEvent[]; upTo: number }> {
    if (this.#done.events >= this.#floor) {
      this.#buffer = this.#buffer.filter((event) => event.position > this.#done.events)
      const events = this.#buffer.filter((event) => event.position <= head).slice(0, BATCH_EVENTS)
      return { events, upTo: events.length < BATCH_EVENTS ? head : (events.at(-1)?.position ?? head) }
    }
    const upTo = Math.min(head, this.#done.events + PAGE_POSITIONS)
    return { events: await this.#readEvents(this.#done.events, upTo), upTo }
  }

  async #readEvents(after: number, upTo: number): Promise<NotifyingEvent[]> {
    const [records, actions] = await Promise.all([
      getEventsSince(this.#database, { lane: 0, after: after as StreamPosition, upTo: upTo as StreamPosition }),
      getPushActionsSince(this.#database, { after, upTo }),
    ])
    const actionsOf = Map.groupBy(actions, (action) => action.eventId)
    return records.flatMap((record) => {
      const own = actionsOf.get(record.eventId) ?? []
      if (record.position === null || (!record.isNotifying && own.length === 0)) return []
      const push = { isNotifying: record.isNotifying, threadId: record.threadId ?? undefined, actions: own }
      return [{ position: record.position, eventId: record.eventId, roomId: record.roomId, sender: senderOf(record.json), push }]
    })
  }

  /** Who reads on one device gets a smaller badge on the others. */
  async #routeReceipts(epoch: number, signal: AbortSignal): Promise<boolean> {
    const head = this.#hub.head('receipts')
    if (head <= this.#done.receipts) return false
    const upTo = Math.min(head, this.#done.receipts + PAGE_POSITIONS)
    const rows = await getReceiptRowsSince(this.#database, {
      after: this.#done.receipts as StreamPosition,
      upTo: upTo as StreamPosition,
    })
    const readers = rows.flatMap((row) => (row.receiptType.startsWith('m.read') ? [row.userId as string] : []))
    const userIds = await this.#recipients.withPushers(new Set(readers))
    if (signal.aborted) return false
    if (userIds.length > 0 || upTo - this.#stored.receipts >= CURSOR_STRIDE) {
      await this.#database.transaction('route_badges', async (tx) => {
        await advanceCursor(tx, { ...RECEIPTS_CURSOR, pos: upTo, epoch })
        if (userIds.length === 0) return
        const users = userIds.map((userId) => ({ userId, shard: pusherShardOf(userId) }))
        await insertBadgePushes(tx, users, this.#clock.nowMs())
      })
      this.#stored.receipts = upTo
    }
    this.#done.receipts = upTo
    if (userIds.length > 0) this.#wake(new Set(userIds))
    return this.#hub.head('receipts') > upTo
  }
}

function senderOf(pduJson: string): string {
  const pdu = JSON.parse(pduJson) as { readonly sender?: unknown }
  return typeof pdu.sender === 'string' ? pdu.sender : ''
}
