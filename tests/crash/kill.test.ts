import { expect, test } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { environmentNumber } from '../kit/environment.ts'
import { TestServer } from '../kit/test-server.ts'
import { isConnectionError, untilAnswered } from '../kit/connection-errors.ts'
import { SyncFollower } from '../kit/sync-follower.ts'

const KILLS = environmentNumber('GANGLION_CRASH_KILLS', 3)
const SENDS = environmentNumber('GANGLION_CRASH_SENDS', 300)
const CONCURRENCY = 32
const ROOMS = 3

interface Send {
  readonly roomId: string
  readonly txnId: string
  /** Undefined while no answer came: the event may exist or not. */
  eventId?: string
}

test(
  'kill -9 during concurrent sends loses nothing that was acknowledged, and repeats nothing',
  { timeout: 60_000 + KILLS * 60_000 },
  async () => {
    await using server = await TestServer.spawn()
    const world = await World.create(server)
    for (let round = 1; round <= KILLS; round += 1) {
      // Each time at another point of the work.
      await world.sendUntilKilled(round, Math.floor((SENDS * round) / (KILLS + 1)))
      await server.startAgain()
      await world.repeatSends()
    }
    await world.checkRooms()
    await world.checkFollower()
  },
)

test('with the embedded database too, every acknowledged event is there after kill -9', { timeout: 120_000 }, async () => {
  await using server = await TestServer.spawn({ database: 'embedded' })
  const world = await World.create(server)
  await world.sendUntilKilled(1, Math.floor(SENDS / 3))
  await server.startAgain()
  await world.repeatSends()
  await world.checkRooms()
  await world.checkFollower()
})

test('a restart while clients sync and send loses nothing and shows nothing twice', { timeout: 120_000 }, async () => {
  await using server = await TestServer.spawn()
  const world = await World.create(server)
  const sending = world.sendSteadily(Math.min(SENDS, 200))
  await new Promise((resolve) => setTimeout(resolve, 300))
  await server.restart()
  await sending
  await world.checkRooms()
  await world.checkFollower()
})

/** Two users in a few rooms: alice sends messages and to-device messages, bob follows his /sync all the time. */
class World {
  readonly #server: TestServer
  readonly #alice: TestClient
  readonly #bob: TestClient
  readonly #rooms: readonly string[]
  readonly #follower: SyncFollower
  readonly #sends: Send[] = []
  readonly #whispers: string[] = []

  private constructor(parts: {
    server: TestServer
    alice: TestClient
    bob: TestClient
    rooms: readonly string[]
    follower: SyncFollower
  }) {
    this.#server = parts.server
    this.#alice = parts.alice
    this.#bob = parts.bob
    this.#rooms = parts.rooms
    this.#follower = parts.follower
  }

  static async create(server: TestServer): Promise<World> {
    const alice = await server.register('alice')
    const bob = await server.register('bob')
    const rooms: string[] = []
    for (let index = 0; index < ROOMS; index += 1) {
      const roomId = await alice.createRoom({ preset: 'public_chat' })
      await bob.join(roomId)
      rooms.push(roomId)
    }
    return new World({ server, alice, bob, rooms, follower: await SyncFollower.start(bob) })
  }

  /** Sends from many connections at once and kills the server after so many answers. */
  async sendUntilKilled(round: number, answersBeforeKill: number): Promise<void> {
    let answers = 0
    let killing: Promise<void> | undefined
    const queue = Array.from({ length: SENDS }, (_, index) => `${round}-${index}`)
    const worker = async (): Promise<void> => {
      for (let txnId = queue.shift(); txnId !== undefined && killing === undefined; txnId = queue.shift()) {
        if (await this.#sendOnce(txnId)) answers += 1
        if (answers >= answersBeforeKill) killing ??= this.#server.kill()
      }
    }
    await Promise.all(Array.from({ length: CONCURRENCY }, worker))
    await (killing ?? this.#server.kill())
    expect(answers).toBeGreaterThanOrEqual(answersBeforeKill)
  }

  /** Sends one by one from a few connections, repeating what got no answer. */
  async sendSteadily(count: number): Promise<void> {
    const queue = Array.from({ length: count }, (_, index) => `steady-${index}`)
    const worker = async (): Promise<void> => {
      for (let txnId = queue.shift(); txnId !== undefined; txnId = queue.shift()) {
        const send: Send = { roomId: this.#roomOf(txnId), txnId }
        this.#sends.push(send)
        send.eventId = await untilAnswered(() => this.#alice.sendText(send.roomId, send.txnId, send.txnId))
      }
    }
    await Promise.all(Array.from({ length: 4 }, worker))
  }

  /** A client that got no answer sends again with the same transaction id; so does one that did not see its answer. */
  async repeatSends(newest: number = this.#sends.length): Promise<void> {
    const queue = this.#sends.slice(-newest)
    const worker = async (): Promise<void> => {
      for (let send = queue.shift(); send !== undefined; send = queue.shift()) {
        const eventId = await this.#alice.sendText(send.roomId, send.txnId, send.txnId)
        if (send.eventId !== undefined) expect(eventId, `the event of transaction ${send.txnId}`).toBe(send.eventId)
        send.eventId = eventId
      }
    }
    await Promise.all(Array.from({ length: 8 }, worker))
    for (const txnId of this.#whispers.slice(-newest)) await this.#whisper(txnId)
  }

  async checkRooms(): Promise<void> {
    for (const roomId of this.#rooms) {
      const expected = this.#sends.filter((send) => send.roomId === roomId).map((send) => send.eventId)
      const found = await this.#allMessages(roomId)
      expect(found.toSorted(), 'each event exactly once in /messages').toEqual(expected.toSorted())
    }
  }

  /** What bob saw along his tokens is what /messages tells, in its order, once; and each to-device message came once. */
  async checkFollower(): Promise<void> {
    const total = this.#sends.length
    const seenIn = (roomId: string): string[] => {
      const known = new Set(this.#sends.map((send) => send.eventId))
      return (this.#follower.events.get(roomId) ?? []).filter((eventId) => known.has(eventId))
    }
    const isComplete = (): boolean =>
      this.#rooms.flatMap(seenIn).length >= total && this.#follower.toDevice.length >= this.#whispers.length
    await this.#follower.waitUntil(isComplete)
    await this.#follower.stop()
    for (const roomId of this.#rooms) expect(seenIn(roomId), 'the token chain').toEqual(await this.#allMessages(roomId))
    const whispers = this.#follower.toDevice.map((content) => content['n'])
    expect(whispers.toSorted()).toEqual(this.#whispers.toSorted())
  }

  #roomOf(txnId: string): string {
    const number = Number(/\d+$/.exec(txnId)?.[0] ?? 0)
    return this.#rooms[number % this.#rooms.length] ?? ''
  }

  async #sendOnce(txnId: string): Promise<boolean> {
    const send: Send = { roomId: this.#roomOf(txnId), txnId }
    this.#sends.push(send)
    try {
      if (txnId.endsWith('7')) {
        this.#whispers.push(txnId)
        await this.#whisper(txnId)
      }
      send.eventId = await this.#alice.sendText(send.roomId, txnId, txnId)
      return true
    } catch (error) {
      if (!isConnectionError(error)) throw error
      return false
    }
  }

  async #whisper(txnId: string): Promise<void> {
    await this.#alice.put(`/_matrix/client/v3/sendToDevice/org.example.count/${txnId}`, {
      messages: { [this.#bob.userId]: { [this.#bob.deviceId]: { n: txnId } } },
    })
  }

  /** The ids of all text messages, oldest first. */
  async #allMessages(roomId: string): Promise<string[]> {
    const found: string[] = []
    let from: string | undefined
    for (;;) {
      const page = await this.#alice.messages(roomId, { dir: 'f', limit: 100, from })
      found.push(...page.chunk.filter((event) => event.type === 'm.room.message').map((event) => event.event_id))
      if (page.end === undefined) return found
      from = page.end
    }
  }
}
