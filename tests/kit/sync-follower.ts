import type { TestClient } from './client.ts'
import type { SyncResponse } from './sync-response.ts'
import { untilAnswered } from './connection-errors.ts'

const TIMELINE_LIMIT = 100

/**
 * Follows a user's /sync as a careful client does: a token counts as reached only with its answer, gaps of limited
 * timelines are filled from /messages, and requests without an answer are repeated with the same token.
 */
export class SyncFollower {
  readonly client: TestClient
  /** Event ids by room, in the order in which they came. */
  readonly events = new Map<string, string[]>()
  /** Contents of to-device messages in the order in which they came. */
  readonly toDevice: Record<string, unknown>[] = []
  #since: string
  #isRunning = true
  readonly #loop: Promise<void>

  private constructor(client: TestClient, since: string) {
    this.client = client
    this.#since = since
    this.#loop = this.#run()
    // The failure is reported by stop().
    this.#loop.catch(() => {})
  }

  /** Starts after an initial sync: only what comes later is recorded. */
  static async start(client: TestClient): Promise<SyncFollower> {
    return new SyncFollower(client, (await client.sync()).next_batch)
  }

  /** Waits until what was expected has come, or for some seconds: what is missing then, the test tells better. */
  async waitUntil(isComplete: () => boolean, withinMs = 60_000): Promise<void> {
    const deadline = performance.now() + withinMs
    while (!isComplete() && performance.now() < deadline)
      await Promise.race([this.#loop, new Promise((resolve) => setTimeout(resolve, 50))])
  }

  /** Ends. Throws if following failed. */
  async stop(): Promise<void> {
    this.#isRunning = false
    await this.#loop
  }

  async #run(): Promise<void> {
    const filter = { room: { timeline: { limit: TIMELINE_LIMIT } }, presence: { types: [] } }
    while (this.#isRunning) {
      const since = this.#since
      const response = await untilAnswered(() => this.client.sync({ since, timeout: 500, filter }))
      await this.#record(response, since)
      this.#since = response.next_batch
    }
  }

  async #record(response: SyncResponse, since: string): Promise<void> {
    for (const message of response.to_device?.events ?? []) this.toDevice.push(message.content)
    for (const [roomId, room] of Object.entries(response.rooms?.join ?? {})) {
      const seen = this.events.get(roomId) ?? []
      this.events.set(roomId, seen)
      if (room.timeline?.limited === true) seen.push(...(await this.#gap(roomId, room.timeline.prev_batch, since)))
      seen.push(...(room.timeline?.events ?? []).map((event) => event.event_id))
    }
  }

  /** What a limited timeline left out, oldest first. */
  async #gap(roomId: string, prevBatch: string | undefined, since: string): Promise<string[]> {
    const newestFirst: string[] = []
    let from = prevBatch
    while (from !== undefined) {
      const start: string = from
      const page = await untilAnswered(() => this.client.messages(roomId, { from: start, to: since, limit: 100 }))
      newestFirst.push(...page.chunk.map((event) => event.event_id))
      from = page.end === from ? undefined : page.end
    }
    return newestFirst.toReversed()
  }
}
