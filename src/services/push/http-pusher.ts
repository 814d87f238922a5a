import { OutgoingRequestError } from '../../http/outgoing-errors.ts'
import type { UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import {
  acknowledgePushes,
  deleteQueuedPushes,
  getQueuedPushes,
  getSendingPusher,
  recordPushFailure,
} from '../../storage/tables/push-queue.ts'
import type { PusherName, QueuedPush, SendingPusher } from '../../storage/tables/push-queue.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { Clock } from '../../util/clock.ts'
import type { Logger } from '../../util/logger.ts'
import { pause } from '../../util/pause.ts'
import type { Random } from '../../util/random.ts'
import type { Badges } from './badges.ts'
import { gatewayUrlOf, writeBadge } from './push-contents.ts'
import type { PushContents } from './push-contents.ts'
import { GatewayError } from './push-gateway-client.ts'
import type { PushGatewayClient } from './push-gateway-client.ts'
import { PusherLoop } from './pusher-loop.ts'

const BATCH = 20
const RETRY_MS_MIN = 1000
const RETRY_MS_MAX = 3600_000
/** Notifications that wait while a gateway fails; older ones are dropped. */
const WAITING_MAX = 100

/** What all pushers share. */
export interface PusherDeps {
  readonly database: Database
  readonly hub: StreamHub
  readonly gateway: PushGatewayClient
  readonly contents: PushContents
  readonly badges: Badges
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** Option `push.jitter_delay`. */
  readonly jitterDelayMs: number
  /** Removes a pusher whose key the gateway does not know any more. */
  readonly remove: (key: { userId: UserId; appId: string; pushkey: string }) => Promise<void>
}

/**
 * Sends what one pusher has to send, one after the other, until nothing waits. What the gateway has taken is deleted from the queue
 * before the next goes out; a gateway that fails is tried again after a while that doubles, which is stored with the pusher.
 */
export class HttpPusher {
  readonly #deps: PusherDeps
  readonly #name: PusherName
  readonly #signal: AbortSignal
  readonly #loop: PusherLoop

  constructor(deps: PusherDeps & { name: PusherName; signal: AbortSignal; onIdle: () => void }) {
    this.#deps = deps
    this.#name = deps.name
    this.#signal = deps.signal
    this.#loop = new PusherLoop({
      work: () => this.#sendSome(),
      signal: deps.signal,
      onIdle: deps.onIdle,
      onError: (error) => deps.logger.error('Sending pushes failed', { userId: deps.name.userId, error }),
    })
  }

  /** Looks for something to send. */
  wake(): void {
    this.#loop.wake()
  }

  /** Settles when nothing runs any more, after the signal was aborted. */
  ended(): Promise<void> {
    return this.#loop.ended()
  }

  /** Returns whether there may be more. */
  async #sendSome(): Promise<boolean> {
    const { database, clock, hub, jitterDelayMs, random } = this.#deps
    if (this.#signal.aborted) return false
    const [pusher, pushes] = await Promise.all([
      getSendingPusher(database, this.#name.pusherId),
      getQueuedPushes(database, this.#name.pusherId, BATCH),
    ])
    if (!pusher || pushes.length === 0) return false
    const waitMs = pusher.retryAtTsMs - clock.nowMs()
    if (waitMs > 0) {
      this.#loop.wakeLater(waitMs)
      return false
    }
    if (jitterDelayMs > 0) await pause((random.bytes(4).readUInt32BE() / 2 ** 32) * jitterDelayMs, this.#signal)
    // This process may be behind the one that queued them.
    await hub.catchUpTo(
      'events',
      0,
      pushes.reduce((last, push) => Math.max(last, push.position), 0),
    )
    for (const push of pushes) {
      if (this.#signal.aborted) return false
      // Several changes of the badge are told as one, with the last.
      const isMerged = push.eventId === null && pushes.some((other) => other.seq > push.seq)
      if (isMerged) await deleteQueuedPushes(database, [push.seq])
      else if (!(await this.#send(pusher, push))) return false
    }
    return true
  }

  /** Returns whether it is worth going on. */
  async #send(pusher: SendingPusher, push: QueuedPush): Promise<boolean> {
    const { database, contents, badges, gateway } = this.#deps
    const userId = this.#name.userId as UserId
    const event = push.eventId === null ? undefined : await contents.findEvent(userId, push)
    const badge = event || push.eventId === null ? await badges.count(userId) : 0
    let notification: JsonObject | undefined
    if (event) notification = await contents.write({ userId, pusher, badge }, event, push)
    else if (push.eventId === null) notification = await this.#writeNewBadge(pusher, badge)
    if (!notification) {
      await deleteQueuedPushes(database, [push.seq])
      return true
    }
    try {
      const rejected = await gateway.notify(gatewayUrlOf(pusher), notification, this.#signal)
      await acknowledgePushes(database, { pusherId: this.#name.pusherId, seqs: [push.seq], badge })
      if (!rejected.has(pusher.pushkey)) return true
      await this.#deps.remove({ userId, appId: pusher.appId, pushkey: pusher.pushkey })
      return false
    } catch (error) {
      if (this.#signal.aborted || !(error instanceof GatewayError || error instanceof OutgoingRequestError)) throw error
      await this.#noteFailure(error)
      return false
    }
  }

  async #writeNewBadge(pusher: SendingPusher, badge: number): Promise<JsonObject | undefined> {
    const known = (await getSendingPusher(this.#deps.database, this.#name.pusherId))?.lastBadge
    // A pusher that was never told anything shows nothing.
    return (known ?? 0) === badge ? undefined : writeBadge(pusher, badge)
  }

  async #noteFailure(error: Error): Promise<void> {
    const { database, clock, logger } = this.#deps
    const pusher = await getSendingPusher(database, this.#name.pusherId)
    if (!pusher) return
    const nowMs = clock.nowMs()
    const retryMs = Math.min(Math.max(pusher.retryMs * 2, RETRY_MS_MIN), RETRY_MS_MAX)
    const { pusherId, userId } = this.#name
    logger.info('A push gateway failed', { userId, url: gatewayUrlOf(pusher), retryMs, error })
    await recordPushFailure(database, {
      pusherId,
      failingSinceTsMs: pusher.failingSinceTsMs ?? nowMs,
      retryMs,
      retryAtTsMs: nowMs + retryMs,
      keptMax: WAITING_MAX,
    })
    this.#loop.wakeLater(retryMs)
  }
}
