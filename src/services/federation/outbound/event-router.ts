import { serverNameOf } from '../../../protocol/ids.ts'
import type { EventId, RoomId, ServerName } from '../../../protocol/ids.ts'
import type { Database } from '../../../storage/database.ts'
import { advanceCursor, getCursor } from '../../../storage/tables/consumer-cursors.ts'
import { getEventsToRoute, insertQueuedEvents, keepNewestOfRooms } from '../../../storage/tables/destination-queues.ts'
import type { QueuedEvent, RoutedEventRecord } from '../../../storage/tables/destination-queues.ts'
import { deleteEventRelays, getEventRelays } from '../../../storage/tables/event-relays.ts'
import type { EventRelay } from '../../../storage/tables/event-relays.ts'
import type { StreamHub } from '../../../streams/stream-hub.ts'
import { STREAMS } from '../../../streams/streams.ts'
import type { EventRow } from '../../../streams/streams.ts'
import type { Clock } from '../../../util/clock.ts'
import type { DestinationBackoff } from '../destination-backoff.ts'
import type { EventRecipients } from './event-recipients.ts'
import { FollowedStream } from './followed-stream.ts'

const CONSUMER = 'federation_router'
const BATCH_EVENTS = 500
/** Events that wait in memory; of more the router reads from the database. */
const BUFFER_EVENTS_MAX = 5000
/** The cursor is moved over what concerns nobody only so often: once for as many positions. */
const CURSOR_STRIDE = 1000
/** A destination that failed for so long gets only the newest event of each room. */
const LONG_FAILURE_MS = 3600_000
const RELAY_RETENTION_MS = 24 * 3600_000
const MEMBER = 'm.room.member'

/** Wakes whoever sends to the destinations. */
export type WakeSenders = (destinations: Iterable<ServerName>) => void

/**
 * Decides which servers get which events: follows the events stream and writes the queues of the destinations, in the same
 * transaction as its cursor. Events of our users are told by us, to the servers in the room just before; changes of members also to the
 * server of the member. Rejected, soft-failed and outlying events are not in the stream. Spec: server-server-api § PDUs.
 */
export class EventRouter {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #recipients: EventRecipients
  readonly #backoff: DestinationBackoff
  readonly #clock: Clock
  readonly #serverName: ServerName
  readonly #wake: WakeSenders
  readonly #follower: FollowedStream
  /** Events after `#floor` that may have to be told. */
  #buffer: RoutedEventRecord[] = []
  #floor = 0
  #done = 0
  #stored = 0

  constructor(deps: {
    database: Database
    hub: StreamHub
    recipients: EventRecipients
    backoff: DestinationBackoff
    clock: Clock
    serverName: ServerName
    wake: WakeSenders
    onError: (error: unknown) => void
  }) {
    this.#database = deps.database
    this.#hub = deps.hub
    this.#recipients = deps.recipients
    this.#backoff = deps.backoff
    this.#clock = deps.clock
    this.#serverName = deps.serverName
    this.#wake = deps.wake
    this.#follower = new FollowedStream({
      hub: deps.hub,
      stream: 'events',
      load: async (epoch) => {
        this.#done = this.#stored = await this.#readCursor()
        await advanceCursor(this.#database, { ...CURSOR, pos: this.#done, epoch })
      },
      takeBatch: (epoch, signal) => this.#takeBatch(epoch, signal),
      onError: deps.onError,
    })
    deps.hub.onRow('events', (row, position) => this.#note(row, position))
    deps.hub.onReset('events', (head) => this.#dropBuffer(head))
  }

  /** Takes the role. */
  async start(epoch: number): Promise<void> {
    this.#dropBuffer(this.#hub.head('events'))
    await this.#follower.start(epoch)
  }

  /** Gives the role back; settles when nothing of it runs any more. */
  async stop(): Promise<void> {
    await this.#follower.stop()
    this.#buffer = []
  }

  #readCursor(): Promise<number> {
    return getCursor(this.#database, CURSOR)
  }

  #note(row: EventRow, position: number): void {
    if (!this.#follower.isRunning) return
    if (row.type !== MEMBER && serverNameOf(row.sender) !== this.#serverName) return
    if (this.#buffer.length >= BUFFER_EVENTS_MAX) this.#dropBuffer(position)
    else {
      const { roomId, eventId, sender, type, stateKey = null } = row
      this.#buffer.push({ position, eventId: eventId as EventId, roomId: roomId as RoomId, sender, type, stateKey })
    }
  }

  #dropBuffer(head: number): void {
    this.#buffer = []
    this.#floor = head
  }

  /** Routes what comes next; returns whether there is more. */
  async #takeBatch(epoch: number, signal: AbortSignal): Promise<boolean> {
    const head = this.#hub.head('events')
    if (head <= this.#done) return false
    const { events, upTo } = await this.#nextEvents(head)
    const { queued, relays } = await this.#address(events)
    if (signal.aborted) return false
    if (queued.length > 0 || relays.length > 0 || upTo - this.#stored >= CURSOR_STRIDE) {
      const failing = queued.length > 0 ? await this.#findLongFailing(queued) : []
      await this.#database.transaction('route_events', async (tx) => {
        await advanceCursor(tx, { ...CURSOR, pos: upTo, epoch })
        if (queued.length > 0) await insertQueuedEvents(tx, queued)
        if (failing.length > 0) await keepNewestOfRooms(tx, failing)
        if (relays.length > 0)
          await deleteEventRelays(tx, {
            eventIds: relays.map((relay) => relay.eventId),
            createdBeforeMs: this.#clock.nowMs() - RELAY_RETENTION_MS,
          })
      })
      this.#stored = upTo
    }
    this.#done = upTo
    this.#wake(new Set(queued.map((one) => one.destination)))
    return this.#hub.head('events') > upTo
  }

  async #nextEvents(head: number): Promise<{ events: readonly RoutedEventRecord[]; upTo: number }> {
    if (this.#done >= this.#floor) {
      this.#buffer = this.#buffer.filter((event) => event.position > this.#done)
      const events = this.#buffer.filter((event) => event.position <= head).slice(0, BATCH_EVENTS)
      return { events, upTo: events.length < BATCH_EVENTS ? head : (events.at(-1)?.position ?? head) }
    }
    const range = { after: this.#done, upTo: head, serverName: this.#serverName, limit: BATCH_EVENTS }
    const events = await getEventsToRoute(this.#database, range)
    return { events, upTo: events.length < BATCH_EVENTS ? head : (events.at(-1)?.position ?? head) }
  }

  async #address(events: readonly RoutedEventRecord[]): Promise<{ queued: QueuedEvent[]; relays: EventRelay[] }> {
    if (events.length === 0) return { queued: [], relays: [] }
    const recipients = await this.#recipients.getAt(events)
    const concerned = events.map((event, index) => this.#withMember(event, recipients[index] ?? new Set()))
    // Most rooms have nobody else in them: no question is asked of their events.
    const members = events.filter((event, index) => event.type === MEMBER && (concerned[index]?.size ?? 0) > 0)
    const relays =
      members.length === 0
        ? []
        : await getEventRelays(
            this.#database,
            members.map((event) => event.eventId),
          )
    const relayOf = new Map(relays.map((relay) => [relay.eventId, relay]))
    const queued: QueuedEvent[] = []
    for (const [index, event] of events.entries()) {
      const relay = relayOf.get(event.eventId)
      if (!(relay?.isToldByUs ?? serverNameOf(event.sender) === this.#serverName)) continue
      for (const destination of concerned[index] ?? [])
        if (destination !== relay?.peer) queued.push({ destination, position: event.position, roomId: event.roomId })
    }
    return { queued, relays }
  }

  /** Who is invited, sent away or banned is told of it, wherever it is. */
  #withMember(event: RoutedEventRecord, servers: ReadonlySet<ServerName>): ReadonlySet<ServerName> {
    const server = event.type === MEMBER && event.stateKey !== null ? serverNameOf(event.stateKey) : undefined
    if (!this.#recipients.mayReceive(server) || servers.has(server) || serverNameOf(event.sender) === server) return servers
    return new Set([...servers, server])
  }

  async #findLongFailing(queued: readonly QueuedEvent[]): Promise<ServerName[]> {
    const destinations = [...new Set(queued.map((one) => one.destination))]
    const nowMs = this.#clock.nowMs()
    const isLong = await Promise.all(
      destinations.map(async (destination) => {
        const { failureTsMs } = await this.#backoff.getRetry(destination)
        return failureTsMs !== undefined && nowMs - failureTsMs > LONG_FAILURE_MS
      }),
    )
    return destinations.filter((_, index) => isLong[index])
  }
}

const CURSOR = { consumer: CONSUMER, stream: STREAMS.events.number, lane: 0 }
