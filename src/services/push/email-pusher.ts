import type { UserId } from '../../protocol/ids.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { Database } from '../../storage/database.ts'
import { getEmailThrottles, upsertEmailThrottles } from '../../storage/tables/email-pushers.ts'
import type { EmailThrottle } from '../../storage/tables/email-pushers.ts'
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
import { MailError } from '../mail/mail-sender.ts'
import type { NotificationMails, ToldEvent } from './notification-mails.ts'
import type { PushContents } from './push-contents.ts'
import { PusherLoop } from './pusher-loop.ts'

/** Events that one mail looks at; further ones come with the next. */
const BATCH = 200
const RETRY_MS_MIN = 1000
const RETRY_MS_MAX = 3600_000
/** Events that wait while the mail server fails; older ones are dropped. */
const WAITING_MAX = 1000
/** How much longer a room is left alone after each mail about it. Source: Synapse, push/emailpusher.py. */
const THROTTLE_FACTOR = 144
const THROTTLE_MS_MAX = 24 * 3600_000
/** After so long without an event a room is new again. */
const THROTTLE_RESET_MS = 12 * 3600_000

/** What all pushers of mails share. */
export interface EmailPusherDeps {
  readonly database: Database
  readonly hub: StreamHub
  readonly contents: PushContents
  readonly mails: NotificationMails
  readonly clock: Clock
  readonly logger: Logger
  /** Option `email.notif_delay_before_mail`. */
  readonly mailDelayMs: number
}

/**
 * Sends one user's mails about missed messages: a while after a message came, unless it was read meanwhile, with all others that
 * wait; then the room is left alone for longer and longer. What the mail server has taken is deleted from the queue. Whoever takes the
 * part over goes on from the database. The rules are those of Synapse's push/emailpusher.py.
 */
export class EmailPusher {
  readonly #deps: EmailPusherDeps
  readonly #name: PusherName
  readonly #signal: AbortSignal
  readonly #loop: PusherLoop

  constructor(deps: EmailPusherDeps & { name: PusherName; signal: AbortSignal; onIdle: () => void }) {
    this.#deps = deps
    this.#name = deps.name
    this.#signal = deps.signal
    this.#loop = new PusherLoop({
      work: () => this.#sendOne(),
      signal: deps.signal,
      onIdle: deps.onIdle,
      onError: (error) => deps.logger.error('Sending mails failed', { userId: deps.name.userId, error }),
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
  async #sendOne(): Promise<boolean> {
    const { database, clock, hub } = this.#deps
    const { pusherId } = this.#name
    if (this.#signal.aborted) return false
    const [pusher, pushes, throttles] = await Promise.all([
      getSendingPusher(database, pusherId),
      getQueuedPushes(database, pusherId, BATCH),
      getEmailThrottles(database, pusherId),
    ])
    if (!pusher || pushes.length === 0) return false
    const byRoom = new Map(throttles.map((throttle) => [throttle.roomId, throttle]))
    const nowMs = clock.nowMs()
    const dueTsMs = Math.min(...pushes.map((push) => this.#dueAt(push, byRoom)))
    const waitMs = Math.max(dueTsMs, pusher.retryAtTsMs) - nowMs
    if (waitMs > 0) {
      this.#loop.wakeLater(waitMs)
      return false
    }
    // This process may be behind the one that queued them, and the one that knows what was read.
    await Promise.all([
      hub.catchUpTo(
        'events',
        0,
        pushes.reduce((last, push) => Math.max(last, push.position), 0),
      ),
      hub.catchUpTo('receipts', 0, Infinity),
    ])
    const told = await this.#findUnread(pushes)
    // What made the mail due was read, perhaps: then the others may wait longer.
    const reason = told.find(({ push }) => this.#dueAt(push, byRoom) <= nowMs)
    return reason ? this.#send(pusher, { told, reason, byRoom, nowMs }) : true
  }

  #dueAt(push: QueuedPush, byRoom: ReadonlyMap<string, EmailThrottle>): number {
    const throttle = byRoom.get(push.roomId ?? '')
    return Math.max(push.queuedTsMs + this.#deps.mailDelayMs, throttle ? throttle.lastSentTsMs + throttle.throttleMs : 0)
  }

  /** Those that are unread still; the others need not be told any more. */
  async #findUnread(pushes: readonly QueuedPush[]): Promise<Waiting[]> {
    const { contents, database } = this.#deps
    const userId = this.#name.userId as UserId
    const told: Waiting[] = []
    const gone: number[] = []
    // Of those that notify in a thread the newest are unread: as many as are counted.
    const left = new Map<string, number>()
    for (const push of pushes.toReversed()) {
      const event = await contents.findUnread(userId, push)
      const thread = `${push.roomId ?? ''} ${push.threadId}`
      const count = event && (left.get(thread) ?? (await countUnread(contents, userId, { push, event })))
      if (event && count !== undefined && count > 0) {
        left.set(thread, count - 1)
        told.unshift({ push, event })
      } else gone.push(push.seq)
    }
    if (gone.length > 0) await deleteQueuedPushes(database, gone)
    return told
  }

  /** Returns whether it is worth going on. */
  async #send(
    pusher: SendingPusher,
    batch: { told: readonly Waiting[]; reason: Waiting; byRoom: ReadonlyMap<string, EmailThrottle>; nowMs: number },
  ): Promise<boolean> {
    const { database, mails, mailDelayMs } = this.#deps
    const { told, reason, byRoom, nowMs } = batch
    const { pusherId } = this.#name
    const throttle = byRoom.get(reason.event.roomId)
    if (this.#signal.aborted) return false
    try {
      await mails.send({
        pusherId,
        userId: this.#name.userId as UserId,
        pusher,
        told: told.map(toTold),
        // The same mail has the same id, should the note that it was sent get lost.
        mailId: `${pusherId}-${told.at(-1)?.push.seq ?? 0}`,
        reason: {
          ...toTold(reason),
          nowMs,
          delayBeforeMailMs: mailDelayMs,
          lastSentTsMs: throttle?.lastSentTsMs ?? 0,
          throttleMs: throttle?.throttleMs ?? 0,
        },
      })
    } catch (error) {
      if (this.#signal.aborted || !(error instanceof MailError)) throw error
      await this.#noteFailure(pusher, error)
      return false
    }
    await database.transaction('acknowledge_mail', async (tx) => {
      await acknowledgePushes(tx, { pusherId, seqs: told.map(({ push }) => push.seq), badge: undefined })
      await upsertEmailThrottles(tx, pusherId, nextThrottles(told, byRoom, { nowMs, mailDelayMs }))
    })
    return true
  }

  async #noteFailure(pusher: SendingPusher, error: Error): Promise<void> {
    const { database, clock, logger } = this.#deps
    const nowMs = clock.nowMs()
    const retryMs = Math.min(Math.max(pusher.retryMs * 2, RETRY_MS_MIN), RETRY_MS_MAX)
    const { pusherId, userId } = this.#name
    logger.info('A mail about missed messages could not be sent', { userId, retryMs, error })
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

interface Waiting {
  readonly push: QueuedPush
  readonly event: MatrixEvent
}

function countUnread(contents: PushContents, userId: UserId, { push, event }: Waiting): Promise<number> {
  // An invite is not counted.
  const isInvite = event.stateKey === userId
  return isInvite ? Promise.resolve(1) : contents.countUnread(userId, event.roomId, push.threadId)
}

function toTold({ push, event }: Waiting): ToldEvent {
  return { event, queuedTsMs: push.queuedTsMs }
}

/** For how long each room of a mail is left alone. */
function nextThrottles(
  told: readonly Waiting[],
  byRoom: ReadonlyMap<string, EmailThrottle>,
  { nowMs, mailDelayMs }: { nowMs: number; mailDelayMs: number },
): EmailThrottle[] {
  const newest = new Map(told.map(({ push, event }) => [event.roomId, push.queuedTsMs]))
  return [...newest].map(([roomId, lastQueuedTsMs]) => {
    const before = byRoom.get(roomId)
    const isNew = before === undefined || before.throttleMs === 0 || lastQueuedTsMs - before.lastQueuedTsMs > THROTTLE_RESET_MS
    const throttleMs = isNew ? mailDelayMs : Math.min(before.throttleMs * THROTTLE_FACTOR, THROTTLE_MS_MAX)
    return { roomId, lastSentTsMs: nowMs, throttleMs, lastQueuedTsMs }
  })
}
