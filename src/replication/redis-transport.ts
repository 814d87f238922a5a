import { STREAM_NAMES, STREAMS } from '../streams/streams.ts'
import type { Frame, StreamName } from '../streams/streams.ts'
import { createDeferred } from '../util/deferred.ts'
import { FrameCodec, headOf } from './frame-codec.ts'
import { PostgresTransport } from './postgres-transport.ts'
import type { PostgresTransportDeps } from './postgres-transport.ts'
import { makeRedisLink } from './redis-link.ts'
import type { RedisLink } from './redis-link.ts'
import type { RedisSettings } from './redis-settings.ts'
import { newTransportStats } from './transport.ts'
import type { ControlHandler, ControlMessage, Transport, TransportStats } from './transport.ts'

/** A message to oneself this often; when so many have not come back, Redis counts as down. */
const BEAT_MS = 500
const BEATS_MISSED_MAX = 4
/** What Redis has not taken yet; beyond, lanes are told by PostgreSQL. */
const UNANSWERED_MAX = 1000
const UNANSWERED_CHARACTERS_MAX = 16 * 1024 * 1024
/** How long a frame waits for its predecessor, when both come through Redis. */
const GAP_WAIT_MS = 25
const START_WAIT_MS = 2000

/**
 * Publishes one message for each committed batch, on a channel for each stream and lane. No request ever waits for Redis: what
 * does not get through is told by PostgreSQL, which listens all the time, and takes over while Redis is down.
 * Channels: `<server name>/r1/<stream>/<lane>`, `<server name>/r1/ctl`, and `<server name>/r1/echo/<boot>` for each process alone.
 */
export class RedisTransport implements Transport {
  readonly stats: TransportStats = newTransportStats()
  readonly #deps: PostgresTransportDeps & { readonly serverName: string }
  readonly #codec: FrameCodec
  readonly #fallback: PostgresTransport
  readonly #link: RedisLink
  readonly #prefix: string
  /** The newest head that this process has published of each lane. */
  readonly #published = new Map<string, { stream: StreamName; lane: number; head: number }>()
  readonly #firstUp = createDeferred<void>()
  #isUp = false
  #isStopped = true
  #beat = 0
  #beatsMissed = 0
  #beatTimer: NodeJS.Timeout | undefined
  #unanswered = 0
  #unansweredCharacters = 0

  constructor(
    deps: PostgresTransportDeps & {
      readonly settings: RedisSettings
      readonly serverName: string
      /** What this process wants to hear of; all, where nothing is said. */
      readonly streams?: readonly StreamName[]
    },
  ) {
    this.#deps = deps
    this.#codec = new FrameCodec({ self: deps.self, secret: deps.secret })
    this.#fallback = new PostgresTransport({ ...deps, stats: this.stats })
    this.#prefix = `${deps.serverName}/r1/`
    const streams = deps.streams ?? STREAM_NAMES
    const lanes = deps.hub.heads().filter(({ stream }) => streams.includes(stream))
    this.#link = makeRedisLink(deps.settings, [this.#control, this.#echo, ...lanes.map((lane) => this.#channelOf(lane))], {
      onReady: () => this.#sendBeat(),
      onDown: () => this.#goDown(),
      onMessage: (channel, text) => this.#receive(channel, text),
      onError: (error) => this.#fail(error),
    })
  }

  get mode(): 'redis' | 'postgres' {
    return this.#isUp ? 'redis' : 'postgres'
  }

  get #control(): string {
    return `${this.#prefix}ctl`
  }

  /** Beats go where only their sender listens: else each process would read those of all. */
  get #echo(): string {
    return `${this.#prefix}echo/${this.#deps.self.boot}`
  }

  #channelOf({ stream, lane }: { readonly stream: StreamName; readonly lane: number }): string {
    return `${this.#prefix}${stream}/${lane}`
  }

  /** Settles when Redis is there, and after two seconds without it: PostgreSQL is enough to begin. */
  async start(): Promise<void> {
    this.#isStopped = false
    this.#deps.hub.setGapWait(0)
    this.#deps.hub.onCommit((frame) => this.publish(frame))
    await this.#fallback.open()
    this.#link.open()
    this.#scheduleBeat()
    const timer = setTimeout(() => this.#firstUp.resolve(), START_WAIT_MS)
    await this.#firstUp.promise
    clearTimeout(timer)
  }

  publish(frame: Frame): void {
    if (this.#isStopped) return
    if (!this.#isUp || this.#isFull) {
      if (this.#isUp) this.stats.dropped++
      this.#fallback.publish(frame)
      return
    }
    const { text, isStripped } = this.#codec.writeFrame(frame, this.#deps.clock.nowMs())
    if (isStripped) this.stats.framesStripped++
    this.stats.framesSent++
    if (STREAMS[frame.stream].isPersistent) {
      const { stream, lane } = frame
      this.#published.set(`${stream}/${lane}`, { stream, lane, head: headOf(frame) })
    }
    this.#send(this.#channelOf(frame), text, () => this.#fallback.publish(frame))
  }

  publishControl(message: ControlMessage): void {
    if (this.#isStopped) return
    if (!this.#isUp || this.#isFull) this.#fallback.publishControl(message)
    else {
      const text = this.#codec.writeControl(message, this.#deps.clock.nowMs())
      this.#send(this.#control, text, () => this.#fallback.publishControl(message))
    }
  }

  onControl(handler: ControlHandler): void {
    this.#fallback.onControl(handler)
  }

  get #isFull(): boolean {
    return this.#unanswered >= UNANSWERED_MAX || this.#unansweredCharacters >= UNANSWERED_CHARACTERS_MAX
  }

  #send(channel: string, text: string, onFailed: () => void): void {
    this.#unanswered++
    this.#unansweredCharacters += text.length
    const over = (): void => {
      this.#unanswered--
      this.#unansweredCharacters -= text.length
    }
    this.#link.publish(channel, text).then(over, (error: unknown) => {
      over()
      this.#fail(error)
      if (!this.#isStopped) onFailed()
    })
  }

  #receive(channel: string, text: string): void {
    if (this.#isStopped) return
    const incoming = this.#codec.read(text)
    if (!incoming) {
      this.stats.invalid++
      return
    }
    if (this.#codec.isOwn(incoming)) {
      // Any of ours that comes back is as good as a beat; what is of an earlier life of the connection is not worth telling apart.
      this.#beatsMissed = 0
      if (!this.#isUp && 'echo' in incoming && incoming.echo === this.#beat) this.#goUp()
      return
    }
    const lane = 'frame' in incoming ? incoming.frame : 'moved' in incoming ? incoming.moved : undefined
    if (channel === (lane ? this.#channelOf(lane) : this.#control)) this.#fallback.receive(incoming)
    else this.stats.invalid++
  }

  /** Counts beats, not time: a stalled event loop misses none. */
  #scheduleBeat(): void {
    this.#beatTimer = setTimeout(() => {
      if (this.#isUp && ++this.#beatsMissed >= BEATS_MISSED_MAX) this.#goDown()
      if (this.#link.isReady) this.#sendBeat()
      this.#scheduleBeat()
    }, BEAT_MS).unref()
  }

  #sendBeat(): void {
    if (this.#isStopped || this.#isFull) return
    const text = this.#codec.writeEcho(++this.#beat, this.#deps.clock.nowMs())
    this.#link.publish(this.#echo, text).catch((error: unknown) => this.#fail(error))
  }

  #goUp(): void {
    this.#isUp = true
    this.#beatsMissed = 0
    this.stats.recoveries++
    this.#deps.hub.setGapWait(GAP_WAIT_MS)
    this.#fallback.setAlone(false)
    this.#firstUp.resolve()
    // What was published between the fall and now was not heard.
    void this.#fallback.pollHeads()
  }

  #goDown(): void {
    if (!this.#isUp) return
    this.#isUp = false
    this.stats.failovers++
    this.#deps.hub.setGapWait(0)
    this.#fallback.setAlone(true)
    // The last ones may have been lost on the way; telling a head twice costs nothing.
    for (const moved of this.#published.values()) this.#fallback.announce(moved)
    void this.#fallback.pollHeads()
  }

  #fail(error: unknown): void {
    if (this.#isStopped) return
    this.stats.errors++
    // A Redis that is away says so many times a second; that it went is said once, by the counter and the mode.
    if (this.#isUp) this.#deps.onError(error)
  }

  async stop(): Promise<void> {
    if (this.#isStopped) return
    clearTimeout(this.#beatTimer)
    await this.#link.close()
    await this.#fallback.stop()
    this.#isStopped = true
    this.#firstUp.resolve()
  }
}
