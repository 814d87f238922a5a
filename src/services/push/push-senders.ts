import type { ControlMessage, Transport } from '../../replication/transport.ts'
import { getPusherNames, getWaitingPushers } from '../../storage/tables/push-queue.ts'
import type { PusherName } from '../../storage/tables/push-queue.ts'
import type { Background } from '../../util/background.ts'
import { EmailPusher } from './email-pusher.ts'
import type { EmailPusherDeps } from './email-pusher.ts'
import { HttpPusher } from './http-pusher.ts'
import type { PusherDeps } from './http-pusher.ts'
import { pusherShardOf } from './push-shards.ts'

const WAKE = 'push_wake'
/** Users that one message names. */
const WAKE_NAMES_MAX = 200
/** Messages between processes may get lost: so often the database is asked who waits. */
const LOOK_INTERVAL_MS = 10_000

interface SenderDeps extends PusherDeps, EmailPusherDeps {
  /** Kinds of pushers that are sent to. */
  readonly kinds: readonly string[]
}

/**
 * Sends the pushes of the users whose parts this process holds. What is to be sent waits in PostgreSQL: whoever takes a part over
 * goes on where the last one was. Each pusher works for itself.
 */
export class PushSenders {
  readonly #deps: SenderDeps
  readonly #transport: Pick<Transport, 'publishControl' | 'onControl'>
  readonly #background: Background
  readonly #shards = new Map<number, AbortSignal>()
  /** Those that have something to send, or wait for a try. */
  readonly #pushers = new Map<number, { readonly pusher: HttpPusher | EmailPusher; readonly shard: number }>()
  readonly #wanted = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  constructor(deps: SenderDeps & { transport: Pick<Transport, 'publishControl' | 'onControl'>; background: Background }) {
    this.#deps = deps
    this.#transport = deps.transport
    this.#background = deps.background
    deps.transport.onControl((message) => this.#wakeOwn(namesIn(message)))
    // A pusher that was set anew may try at once, one that was deleted ends.
    deps.hub.onRow('pushers', ({ userId }) => this.#wakeOwn([userId]))
  }

  /** Takes a part over. */
  start(shard: number, signal: AbortSignal): Promise<void> {
    this.#shards.set(shard, signal)
    this.#lookSoon(0)
    return Promise.resolve()
  }

  /** Gives a part back, its signal being aborted; settles when nothing of it is sent any more. */
  async stop(shard: number): Promise<void> {
    this.#shards.delete(shard)
    if (this.#shards.size === 0) {
      clearTimeout(this.#timer)
      this.#timer = undefined
    }
    const own = [...this.#pushers].filter(([, entry]) => entry.shard === shard)
    for (const [pusherId] of own) this.#pushers.delete(pusherId)
    await Promise.all(own.map(([, { pusher }]) => pusher.ended()))
  }

  /** Tells whoever sends for the users that something waits: in this process and in the others. */
  wake(userIds: ReadonlySet<string>): void {
    const others = [...userIds].filter((userId) => !this.#shards.has(pusherShardOf(userId)))
    this.#wakeOwn(userIds)
    for (let start = 0; start < others.length; start += WAKE_NAMES_MAX)
      this.#transport.publishControl({ kind: WAKE, users: others.slice(start, start + WAKE_NAMES_MAX) })
  }

  #wakeOwn(userIds: Iterable<string>): void {
    if (this.#shards.size === 0) return
    const isIdle = this.#wanted.size === 0
    for (const userId of userIds) if (this.#shards.has(pusherShardOf(userId))) this.#wanted.add(userId)
    if (isIdle && this.#wanted.size > 0) this.#background.run('push: who waits', () => this.#wakeWanted())
  }

  async #wakeWanted(): Promise<void> {
    const userIds = [...this.#wanted]
    this.#wanted.clear()
    for (const name of await getPusherNames(this.#deps.database, userIds)) this.#get(name)?.wake()
  }

  #get(name: PusherName): HttpPusher | EmailPusher | undefined {
    const shard = pusherShardOf(name.userId)
    const signal = this.#shards.get(shard)
    if (!signal || signal.aborted || !this.#deps.kinds.includes(name.kind)) return undefined
    const known = this.#pushers.get(name.pusherId)
    if (known) return known.pusher
    const onIdle = (): void => {
      if (this.#pushers.get(name.pusherId)?.pusher === pusher) this.#pushers.delete(name.pusherId)
    }
    const deps = { ...this.#deps, name, signal, onIdle }
    const pusher = name.kind === 'email' ? new EmailPusher(deps) : new HttpPusher(deps)
    this.#pushers.set(name.pusherId, { pusher, shard })
    return pusher
  }

  #lookSoon(delayMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#background.run('push: who waits', async () => {
        try {
          for (const name of await getWaitingPushers(this.#deps.database, [...this.#shards.keys()]))
            if (!this.#pushers.has(name.pusherId)) this.#get(name)?.wake()
        } finally {
          if (this.#shards.size > 0) this.#lookSoon(LOOK_INTERVAL_MS)
        }
      })
    }, delayMs)
  }
}

function namesIn(message: ControlMessage): string[] {
  const names = message.kind === WAKE ? message['users'] : undefined
  return Array.isArray(names) ? names.filter((name) => typeof name === 'string') : []
}
