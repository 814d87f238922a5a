import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchSync, BenchUser } from './bench-client.ts'
import { pickUser, registerMany, roomOf, timed } from './steps.ts'
import type { Bench } from './steps.ts'

const RECEIVERS = 20
const PARKED = 500
const PARK_MS = 30_000

/** Send → seen in the long-polling /sync of others, one message at a time. The latency is until the last one has seen it. */
export async function seenLatency(bench: Bench): Promise<void> {
  const users = await registerMany(bench, RECEIVERS + 1)
  const roomId = await roomOf(bench, users)
  const pairRoom = await roomOf(bench, users.slice(0, 2))
  {
    await using other = await ParkedClients.start(bench, users.slice(1, 2))
    await timed(bench, {
      scenario: 'send → seen by another',
      concurrency: 1,
      operation: () => other.sendAndWait(pickUser(users, 0), pairRoom),
    })
  }
  await using parked = await ParkedClients.start(bench, users.slice(1))
  await timed(bench, {
    scenario: `send → seen by all of ${RECEIVERS}; cost of a delivery`,
    concurrency: 1,
    weight: RECEIVERS,
    operation: () => parked.sendAndWait(pickUser(users, 0), roomId),
  })
}

/** What a message costs while many wait: when it concerns all of them, and when it concerns one. */
export async function parkedClients(bench: Bench): Promise<void> {
  const users = await registerMany(bench, PARKED + 1)
  const roomId = await roomOf(bench, users)
  const pairRoom = await roomOf(bench, users.slice(0, 2))
  await using parked = await ParkedClients.start(bench, users.slice(1))
  await timed(bench, {
    scenario: `wake-up of all ${PARKED} parked; each`,
    concurrency: 1,
    weight: PARKED,
    operation: () => parked.sendAndWait(pickUser(users, 0), roomId),
  })
  await timed(bench, {
    scenario: `send → seen by 1 of ${PARKED} parked`,
    concurrency: 1,
    operation: () => parked.sendAndWait(pickUser(users, 0), pairRoom, 1),
  })
}

/** Clients that wait in /sync all the time, and tell when they have seen an event. */
class ParkedClients implements AsyncDisposable {
  readonly #bench: Bench
  readonly #loops: Promise<void>[] = []
  readonly #seenCount = new Map<string, number>()
  #waiting: { eventId: string; count: number; done: () => void } | undefined
  readonly #ending = new AbortController()

  private constructor(bench: Bench) {
    this.#bench = bench
  }

  static async start(bench: Bench, users: readonly BenchUser[]): Promise<ParkedClients> {
    const parked = new ParkedClients(bench)
    const tokens: string[] = []
    for (const user of users) tokens.push((await bench.client.sync(user, undefined, 0)).next_batch)
    for (const [index, user] of users.entries()) {
      const loop = parked.#follow(user, tokens[index] ?? '')
      // What failed is thrown when the clients are disposed of; until then the measurement counts who saw nothing.
      loop.catch(() => {})
      parked.#loops.push(loop)
    }
    await sleep(200)
    return parked
  }

  /** Sends a message and waits until it was seen by `count` clients (default: all). Returns the milliseconds of both. */
  async sendAndWait(sender: BenchUser, roomId: string, count: number = this.#loops.length): Promise<number> {
    const startedMs = performance.now()
    const eventId = await this.#bench.client.send(sender, roomId)
    await new Promise<void>((resolve, reject) => {
      if ((this.#seenCount.get(eventId) ?? 0) >= count) return resolve()
      const timer = setTimeout(
        () => reject(new Error(`only ${this.#seenCount.get(eventId) ?? 0} of ${count} saw the message`)),
        20_000,
      )
      const done = (): void => {
        clearTimeout(timer)
        resolve()
      }
      this.#waiting = { eventId, count, done }
    })
    return performance.now() - startedMs
  }

  async #follow(user: BenchUser, first: string): Promise<void> {
    let since = first
    while (!this.#ending.signal.aborted) {
      const response = await this.#syncOnce(user, since)
      if (response === undefined) continue
      since = response.next_batch
      for (const room of Object.values(response.rooms?.join ?? {})) {
        for (const event of room.timeline.events) this.#saw(event.event_id)
      }
    }
  }

  async #syncOnce(user: BenchUser, since: string): Promise<BenchSync | undefined> {
    try {
      return await this.#bench.client.sync(user, since, PARK_MS, this.#ending.signal)
    } catch (error) {
      if (this.#ending.signal.aborted) return undefined
      throw error
    }
  }

  #saw(eventId: string): void {
    const count = (this.#seenCount.get(eventId) ?? 0) + 1
    this.#seenCount.set(eventId, count)
    if (this.#waiting?.eventId === eventId && count >= this.#waiting.count) this.#waiting.done()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort()
    await Promise.all(this.#loops)
  }
}
