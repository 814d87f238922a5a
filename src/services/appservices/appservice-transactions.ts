import type { Database } from '../../storage/database.ts'
import { deleteWaitingMessages, insertAppserviceTransaction } from '../../storage/tables/appservices.ts'
import type { WaitingMessage } from '../../storage/tables/appservices.ts'
import { advanceCursor, getCursor } from '../../storage/tables/consumer-cursors.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import { STREAMS } from '../../streams/streams.ts'
import type { Clock } from '../../util/clock.ts'
import type { Appservice } from './appservice.ts'
import type { AppserviceStreamReader, InterestingEvent } from './appservice-stream-reader.ts'

/** Positions of the events stream that one transaction covers. */
const PAGE_POSITIONS = 100
const EPHEMERAL_PAGE_POSITIONS = 500
const MESSAGES_MAX = 100
/** Cursors are moved over what concerns nobody only so often: once for as many positions. */
const CURSOR_STRIDE = 1000
/** Who typed longer ago does not type any more. */
const TYPING_MS_MAX = 30_000

type Followed = 'events' | 'receipts' | 'presence' | 'to_device' | 'device_lists'

/** What one transaction holds besides events. */
interface Extras {
  readonly ephemeral: readonly string[]
  readonly messages: readonly WaitingMessage[]
  readonly changedDevices: readonly string[]
}

/**
 * Makes the transactions of one application service: follows the streams from cursors, and stores each transaction as it is to be sent,
 * with the cursors, in one commit. So nothing is sent twice under another id, or left out, whoever goes on with the work.
 */
export class AppserviceTransactions {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #clock: Clock
  readonly #appservice: Appservice
  readonly #reader: AppserviceStreamReader
  readonly #streams: readonly Followed[]
  readonly #done = new Map<Followed, number>()
  readonly #stored = new Map<Followed, number>()
  readonly #typing = new Map<string, { readonly userIds: readonly string[]; readonly atMs: number }>()
  #isFollowing = false

  constructor(deps: {
    database: Database
    hub: StreamHub
    clock: Clock
    appservice: Appservice
    reader: AppserviceStreamReader
  }) {
    this.#database = deps.database
    this.#hub = deps.hub
    this.#clock = deps.clock
    this.#appservice = deps.appservice
    this.#reader = deps.reader
    const { receivesEphemeral, receivesDeviceLists } = deps.appservice.registration
    this.#streams = [
      'events',
      ...(receivesEphemeral ? (['receipts', 'presence', 'to_device'] as const) : []),
      ...(receivesDeviceLists ? (['device_lists'] as const) : []),
    ]
    if (!receivesEphemeral) return
    // Nobody misses what was typed while the service was away.
    deps.hub.onRow('typing', ({ roomId, userIds }) => {
      if (this.#isFollowing) this.#typing.set(roomId, { userIds, atMs: this.#clock.monotonicMs() })
    })
  }

  /** Registers what happens when there may be something for a transaction. */
  onAdvance(listener: () => void): void {
    for (const stream of this.#streams) this.#hub.onAdvance(stream, listener)
    if (this.#appservice.registration.receivesEphemeral) this.#hub.onAdvance('typing', listener)
  }

  /** Reads where to go on, and fences off who had the role before. The first time, it begins with now. */
  async load(epoch: number): Promise<void> {
    this.#reader.restart()
    for (const stream of this.#streams) {
      const cursor = this.#cursorOf(stream)
      const stored = await getCursor(this.#database, cursor)
      const pos = stored === 0 ? this.#hub.head(stream) : stored
      await advanceCursor(this.#database, { ...cursor, pos, epoch })
      this.#done.set(stream, pos)
      this.#stored.set(stream, pos)
    }
    this.#isFollowing = true
  }

  /** Reads again from where the last transaction ended. */
  restart(): void {
    this.#reader.restart()
  }

  stop(): void {
    this.#isFollowing = false
    this.#typing.clear()
  }

  /** Stores the next transaction. Returns whether there may be more; `onInvited` is awaited before users hear of their invites. */
  async makeNext(epoch: number, onInvited: (event: InterestingEvent) => Promise<void>): Promise<boolean> {
    const upTo = new Map(this.#streams.map((stream) => [stream, this.#pageEnd(stream)]))
    const range = (stream: Followed): { after: number; upTo: number } | undefined => {
      const [after, end] = [this.#done.get(stream) ?? 0, upTo.get(stream) ?? 0]
      return end > after ? { after, upTo: end } : undefined
    }
    const eventsRange = range('events')
    const events = eventsRange ? await this.#reader.readEvents(eventsRange) : []
    for (const event of events) if (event.invitee !== undefined) await onInvited(event)
    const extras = await this.#readExtras(range, upTo)
    await this.#store(epoch, { events, extras, upTo })
    for (const [stream, end] of upTo) this.#done.set(stream, Math.max(end, this.#done.get(stream) ?? 0))
    return this.#streams.some((stream) => this.#hub.head(stream) > (this.#done.get(stream) ?? 0))
  }

  #pageEnd(stream: Followed): number {
    const page = stream === 'events' ? PAGE_POSITIONS : EPHEMERAL_PAGE_POSITIONS
    return Math.min(this.#hub.head(stream), (this.#done.get(stream) ?? 0) + page)
  }

  async #readExtras(
    range: (stream: Followed) => { after: number; upTo: number } | undefined,
    upTo: Map<Followed, number>,
  ): Promise<Extras> {
    const [receipts, presence, inbox, lists] = [range('receipts'), range('presence'), range('to_device'), range('device_lists')]
    const nowMs = this.#clock.monotonicMs()
    const typing = new Map(
      [...this.#typing].flatMap(([id, one]) => (nowMs - one.atMs < TYPING_MS_MAX ? [[id, one.userIds]] : [])),
    )
    this.#typing.clear()
    const { messages, upTo: messagesUpTo } = inbox
      ? await this.#reader.readMessages(inbox, MESSAGES_MAX)
      : { messages: [], upTo: 0 }
    if (inbox) upTo.set('to_device', messagesUpTo)
    return {
      ephemeral: [
        ...(await this.#reader.writeTyping(typing)),
        ...(receipts ? await this.#reader.readReceipts(receipts) : []),
        ...(presence ? await this.#reader.readPresence(presence) : []),
      ],
      messages,
      changedDevices: lists ? await this.#reader.readDeviceLists(lists) : [],
    }
  }

  async #store(
    epoch: number,
    next: { events: readonly InterestingEvent[]; extras: Extras; upTo: ReadonlyMap<Followed, number> },
  ): Promise<void> {
    const { events, extras, upTo } = next
    const isEmpty = events.length + extras.ephemeral.length + extras.messages.length + extras.changedDevices.length === 0
    if (isEmpty && this.#streams.every((stream) => (upTo.get(stream) ?? 0) - (this.#stored.get(stream) ?? 0) < CURSOR_STRIDE))
      return
    await this.#database.transaction('store_appservice_transaction', async (tx) => {
      for (const [stream, pos] of upTo) await advanceCursor(tx, { ...this.#cursorOf(stream), pos, epoch })
      if (extras.messages.length > 0) await deleteWaitingMessages(tx, extras.messages)
      if (isEmpty) return
      const body = writeBody(events, extras)
      await insertAppserviceTransaction(tx, { appserviceId: this.#appservice.id, body, createdTsMs: this.#clock.nowMs() })
    })
    for (const [stream, pos] of upTo) this.#stored.set(stream, pos)
  }

  #cursorOf(stream: Followed): { consumer: string; stream: number; lane: number } {
    return { consumer: `appservice:${this.#appservice.id}`, stream: STREAMS[stream].number, lane: 0 }
  }
}

/** Spec: application-service-api, transactions.yaml; besides, the names of MSC2409 and MSC3202 that bridges know. */
function writeBody(events: readonly InterestingEvent[], { ephemeral, messages, changedDevices }: Extras): string {
  const parts = [`"events":[${events.map((event) => event.json).join(',')}]`]
  if (ephemeral.length > 0)
    parts.push(`"ephemeral":[${ephemeral.join(',')}]`, `"de.sorunome.msc2409.ephemeral":[${ephemeral.join(',')}]`)
  if (messages.length > 0) {
    const texts = messages.map(
      ({ userId, deviceId, messageJson }) =>
        `${messageJson.slice(0, -1)},"to_user_id":${JSON.stringify(userId)},"to_device_id":${JSON.stringify(deviceId)}}`,
    )
    parts.push(`"de.sorunome.msc2409.to_device":[${texts.join(',')}]`)
  }
  if (changedDevices.length > 0)
    parts.push(`"org.matrix.msc3202.device_lists":${JSON.stringify({ changed: changedDevices, left: [] })}`)
  return `{${parts.join(',')}}`
}
