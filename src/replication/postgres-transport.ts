import type { Database, DatabaseOptions } from '../storage/database.ts'
import { DatabaseChannel, NOTIFY_BYTES_MAX } from '../storage/database-channel.ts'
import type { StreamHub } from '../streams/stream-hub.ts'
import { STREAMS } from '../streams/streams.ts'
import type { Frame, StreamName } from '../streams/streams.ts'
import type { Clock } from '../util/clock.ts'
import type { Random } from '../util/random.ts'
import { FrameCodec, headOf } from './frame-codec.ts'
import type { Incoming, SenderId } from './frame-codec.ts'
import { HeadPoller, readLaneHead } from './head-poller.ts'
import type { PollIntervals } from './head-poller.ts'
import { newTransportStats } from './transport.ts'
import type { ControlHandler, ControlMessage, Transport, TransportStats } from './transport.ts'

/** The channel of NOTIFY; it belongs to the database, which belongs to one server. */
const CHANNEL = 'ganglion_r1'
/** NOTIFY at most twenty times a second: more would hinder commits. */
const NOTIFY_INTERVAL_MS = 50
/** Messages that wait while the connection is away; further ones are forgotten. */
const MESSAGES_WAITING_MAX = 200
const MESSAGES_PER_ROUND = 10
/** Where frames do not come, and where they do and a poll finds only what got lost. */
const POLL_ALONE: PollIntervals = { waitingMs: 250, idleMs: 2000 }
const POLL_BESIDE: PollIntervals = { waitingMs: 2000, idleMs: 10_000 }

export interface PostgresTransportDeps {
  readonly database: Database
  /** A direct connection: LISTEN does not work through a pooler in transaction mode. */
  readonly options: DatabaseOptions
  readonly hub: StreamHub
  readonly clock: Clock
  readonly random: Random
  readonly self: SenderId
  readonly secret: string | undefined
  readonly onError: (error: unknown) => void
  /** Counters of the transport that this one stands in for. */
  readonly stats?: TransportStats
}

/**
 * Tells other processes by NOTIFY which lanes have moved, and reads the rows that they wrote from PostgreSQL. The way without
 * Redis, and the way while Redis is down. Only what is in no table (typing, control messages) travels in the message itself.
 */
export class PostgresTransport implements Transport {
  readonly mode = 'postgres'
  readonly stats: TransportStats
  readonly #deps: PostgresTransportDeps
  readonly #codec: FrameCodec
  readonly #channel: DatabaseChannel
  readonly #poller: HeadPoller
  readonly #handlers: ControlHandler[] = []
  /** Lanes that moved since the last NOTIFY, with their heads. */
  readonly #moved = new Map<string, { stream: StreamName; lane: number; head: number }>()
  #messages: string[] = []
  #timer: NodeJS.Timeout | undefined
  #isSending = false
  #lastSentMs = Number.NEGATIVE_INFINITY
  #isAlone = true
  #isStopped = true

  constructor(deps: PostgresTransportDeps) {
    this.#deps = deps
    this.stats = deps.stats ?? newTransportStats()
    this.#codec = new FrameCodec({ self: deps.self, secret: deps.secret })
    this.#channel = new DatabaseChannel({
      options: deps.options,
      channel: CHANNEL,
      onMessage: (payload) => this.#receive(payload),
      onListening: () => {
        void this.#poller.poll()
        this.#schedule()
      },
      onError: (error) => this.#fail(error),
    })
    this.#poller = new HeadPoller({
      database: deps.database,
      hub: deps.hub,
      random: deps.random,
      clock: deps.clock,
      intervals: () => (this.#isAlone ? POLL_ALONE : POLL_BESIDE),
      onPoll: () => this.stats.headPolls++,
      onError: (error) => this.#fail(error),
    })
    deps.hub.setReadHead((stream, lane) => readLaneHead(deps.database, stream, lane))
  }

  async start(): Promise<void> {
    this.#deps.hub.setGapWait(0)
    this.#deps.hub.onCommit((frame) => this.publish(frame))
    await this.open()
  }

  /** Begins to listen and to poll, without being told of this process's commits. */
  async open(): Promise<void> {
    this.#isStopped = false
    this.#poller.start()
    await this.#channel.start()
    await this.#poller.poll()
  }

  /** Whether frames come only this way, so that polls must be frequent. */
  setAlone(isAlone: boolean): void {
    this.#isAlone = isAlone
    this.#poller.reschedule()
  }

  pollHeads(): Promise<void> {
    return this.#poller.poll()
  }

  /** Says where a lane stands. */
  announce(moved: { readonly stream: StreamName; readonly lane: number; readonly head: number }): void {
    if (this.#isStopped) return
    const known = this.#moved.get(`${moved.stream}/${moved.lane}`)
    if (!known || known.head < moved.head) this.#moved.set(`${moved.stream}/${moved.lane}`, moved)
    this.#schedule()
  }

  publish(frame: Frame): void {
    if (this.#isStopped) return
    if (STREAMS[frame.stream].isPersistent) {
      this.announce({ stream: frame.stream, lane: frame.lane, head: headOf(frame) })
    } else {
      this.#enqueue(this.#codec.writeFrame(frame, this.#deps.clock.nowMs()).text)
    }
    this.stats.framesSent++
  }

  publishControl(message: ControlMessage): void {
    if (!this.#isStopped) this.#enqueue(this.#codec.writeControl(message, this.#deps.clock.nowMs()))
  }

  onControl(handler: ControlHandler): void {
    this.#handlers.push(handler)
  }

  #enqueue(text: string): void {
    if (this.#messages.length >= MESSAGES_WAITING_MAX || Buffer.byteLength(text) > NOTIFY_BYTES_MAX) {
      this.stats.dropped++
      return
    }
    this.#messages.push(text)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#isSending || this.#isStopped) return
    if (this.#moved.size + this.#messages.length === 0) return
    const waitMs = Math.max(0, NOTIFY_INTERVAL_MS - (this.#deps.clock.monotonicMs() - this.#lastSentMs))
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      void this.#send()
    }, waitMs)
  }

  async #send(): Promise<void> {
    // Nothing is taken out as long as nobody can send it: lanes are few, messages are bounded.
    if (!this.#channel.isListening || this.#moved.size + this.#messages.length === 0) return
    this.#isSending = true
    this.#lastSentMs = this.#deps.clock.monotonicMs()
    const nowMs = this.#deps.clock.nowMs()
    const moved = [...this.#moved.values()]
    this.#moved.clear()
    const messages = this.#messages.splice(0, MESSAGES_PER_ROUND)
    try {
      await this.#channel.notify([...messages, ...moved.map((one) => this.#codec.writeMoved(one, nowMs))])
    } catch (error) {
      // Whoever missed it polls; lanes are told once more.
      for (const one of moved) this.announce(one)
      this.#fail(error)
    } finally {
      this.#isSending = false
      this.#schedule()
    }
  }

  #receive(payload: string): void {
    const incoming = this.#codec.read(payload)
    if (!incoming) this.stats.invalid++
    else if (!this.#codec.isOwn(incoming)) this.receive(incoming)
  }

  /** Applies a message of another process, however it came. */
  receive(incoming: Incoming): void {
    const { hub, clock } = this.#deps
    if ('control' in incoming) {
      this.#handle(incoming.control)
      return
    }
    if ('echo' in incoming) return
    this.stats.framesReceived++
    this.stats.lastLagMs = Math.max(0, clock.nowMs() - incoming.sentTsMs)
    if ('frame' in incoming) {
      if (hub.hasLane(incoming.frame.stream, incoming.frame.lane)) hub.apply(incoming.frame)
      else this.stats.invalid++
      return
    }
    const { stream, lane, head } = incoming.moved
    hub.catchUpTo(stream, lane, head).catch((error: unknown) => this.#fail(error))
  }

  #handle(message: ControlMessage): void {
    for (const handler of this.#handlers) {
      try {
        handler(message)
      } catch (error) {
        this.#fail(error)
      }
    }
  }

  #fail(error: unknown): void {
    if (this.#isStopped) return
    this.stats.errors++
    this.#deps.onError(error)
  }

  async stop(): Promise<void> {
    if (this.#isStopped) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    // What was committed last is told, so that nobody has to wait for a poll.
    await this.#send()
    this.#isStopped = true
    clearTimeout(this.#timer)
    await this.#poller.stop()
    await this.#channel.stop()
  }
}
