import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../clients/eventually.ts'
import type { TestClient } from '../kit/client.ts'
import { roomPath } from '../kit/client.ts'
import { environmentNumber } from '../kit/environment.ts'
import { agreeOnState, BOTH_WAYS, joinVia, Partners, seesEvent, seesMembership } from './partners.ts'
import type { Homeserver } from './partners.ts'

const HEALING_MS = 60_000

let partners: Partners

beforeAll(async () => {
  partners = await Partners.start()
})

afterAll(async () => {
  await partners[Symbol.asyncDispose]()
})

describe.each(BOTH_WAYS)(
  'rooms of $host, with guests of $guest, while the servers cannot reach each other',
  ({ host, guest }) => {
    let home: Homeserver
    let owner: TestClient
    let visitor: TestClient

    beforeAll(async () => {
      home = partners[host]
      owner = await home.register(`left-${host}`)
      visitor = await partners[guest].register(`right-${guest}`)
    })

    /** A room where both may do everything; version 11, as creators of version 12 are above all others. */
    async function roomOfEquals(): Promise<string> {
      const roomId = await owner.createRoom({
        preset: 'public_chat',
        room_version: '11',
        power_level_content_override: { users: { [owner.userId]: 100, [visitor.userId]: 100 } },
      })
      await joinVia(visitor, roomId, home)
      await seesMembership(owner, roomId, visitor.userId, 'join')
      return roomId
    }

    /** What was sent during a cut arrives by itself, or with the next event after it. */
    async function heal(roomId: string): Promise<void> {
      partners.mend()
      const after = [await owner.sendText(roomId, 'are you there?'), await visitor.sendText(roomId, 'are you back?')]
      await seesEvent(visitor, roomId, after[0] ?? '', HEALING_MS)
      await seesEvent(owner, roomId, after[1] ?? '', HEALING_MS)
    }

    test('messages of both arrive afterwards', async () => {
      const roomId = await roomOfEquals()
      partners.cut()
      const fromOwner = await sendSome(owner, roomId, 12)
      const fromVisitor = await sendSome(visitor, roomId, 12)
      await heal(roomId)
      await findsInHistory(visitor, roomId, fromOwner)
      await findsInHistory(owner, roomId, fromVisitor)
      await agreeOnState(roomId, owner, visitor, HEALING_MS)
    })

    test('a message arrives without another one after it', async () => {
      const roomId = await roomOfEquals()
      partners.cut()
      const fromOwner = await owner.sendText(roomId, 'anybody?')
      const fromVisitor = await visitor.sendText(roomId, 'nobody?')
      partners.mend()
      await seesEvent(visitor, roomId, fromOwner, HEALING_MS)
      await seesEvent(owner, roomId, fromVisitor, HEALING_MS)
    })

    test('both change the name, the topic and a state of their own, and agree', async () => {
      const roomId = await roomOfEquals()
      partners.cut()
      for (const [client, own] of [
        [owner, 'left'],
        [visitor, 'right'],
      ] as const) {
        await client.sendState(roomId, 'm.room.name', '', { name: own })
        await client.sendState(roomId, 'm.room.topic', '', { topic: own })
        await client.sendState(roomId, 'org.example.side', own, { own })
      }
      await heal(roomId)
      await agreeOnState(roomId, owner, visitor, HEALING_MS)
      expect(await owner.getState(roomId, 'org.example.side', 'right')).toEqual({ own: 'right' })
      expect(await visitor.getState(roomId, 'org.example.side', 'left')).toEqual({ own: 'left' })
    })

    test('both take the other its power, and agree on who has it', async () => {
      const roomId = await roomOfEquals()
      partners.cut()
      const levels = await owner.getState<{ users: Record<string, number> }>(roomId, 'm.room.power_levels')
      await owner.sendState(roomId, 'org.example.before', '', { by: 'owner' })
      await owner.sendState(roomId, 'm.room.power_levels', '', { ...levels, events: { 'm.room.topic': 100 }, users_default: 10 })
      await visitor.sendState(roomId, 'm.room.power_levels', '', { ...levels, events: { 'm.room.name': 100 }, state_default: 60 })
      await visitor.sendState(roomId, 'org.example.before', '', { by: 'visitor' })
      await heal(roomId)
      await agreeOnState(roomId, owner, visitor, HEALING_MS)
    })

    test('who is banned meanwhile is out for both, with what it changed', async () => {
      const third = await partners[guest].register(`third-${guest}-${host}`)
      const roomId = await roomOfEquals()
      await joinVia(third, roomId, home)
      await seesMembership(owner, roomId, third.userId, 'join')
      partners.cut()
      await owner.post(roomPath(roomId, 'ban'), { user_id: third.userId })
      await third.sendText(roomId, 'I am still here')
      partners.mend()
      await seesMembership(visitor, roomId, third.userId, 'ban')
      await seesEvent(owner, roomId, await visitor.sendText(roomId, 'who was that?'), HEALING_MS)
      await agreeOnState(roomId, owner, visitor, HEALING_MS)
    })

    test('a guest leaves and another one joins meanwhile', async () => {
      const late = await home.register(`late-${host}`)
      const roomId = await roomOfEquals()
      partners.cut()
      await late.join(roomId)
      await owner.sendState(roomId, 'm.room.topic', '', { topic: 'alone' })
      await visitor.sendState(roomId, 'm.room.name', '', { name: 'elsewhere' })
      await heal(roomId)
      await agreeOnState(roomId, late, visitor, HEALING_MS)
      await seesMembership(visitor, roomId, late.userId, 'join')
    })

    test("the guest's server is away and comes back", { timeout: 180_000 }, async () => {
      const roomId = await roomOfEquals()
      await partners[guest].stop()
      const missed = await sendSome(owner, roomId, 25)
      await owner.sendState(roomId, 'm.room.topic', '', { topic: 'away' })
      await partners[guest].startAgain()
      const last = await owner.sendText(roomId, 'welcome back')
      await seesEvent(visitor, roomId, last, HEALING_MS)
      await findsInHistory(visitor, roomId, missed)
      await agreeOnState(roomId, owner, visitor, HEALING_MS)
    })

    test('random changes of both, in several cuts, end in one state', { timeout: 300_000 }, async () => {
      const random = mulberry(environmentNumber('TEST_PARTNERS_SEED', 20_261))
      const roomId = await roomOfEquals()
      const others = [await home.register(`o1-${host}`), await partners[guest].register(`o2-${guest}`)] as const
      await others[0].join(roomId)
      await joinVia(others[1], roomId, home)
      await seesMembership(visitor, roomId, others[0].userId, 'join')
      await seesMembership(owner, roomId, others[1].userId, 'join')
      for (let round = 0; round < 4; round += 1) {
        partners.cut()
        for (let step = 0; step < 12; step += 1) {
          const client = random() < 0.5 ? owner : visitor
          await changeSomething(client, roomId, { random, targets: others.map(({ userId }) => userId), peers: [owner, visitor] })
        }
        await heal(roomId)
        await agreeOnState(roomId, owner, visitor, HEALING_MS)
      }
    })
  },
)

/** Waits until a page of history has all of them: what a server did not get by itself, it asks for when somebody pages back. */
async function findsInHistory(client: TestClient, roomId: string, eventIds: readonly string[]): Promise<void> {
  await eventually(
    `${client.userId} finds what was missed`,
    async () => {
      const { chunk } = await client.messages(roomId, { limit: 100 })
      return eventIds.every((id) => chunk.some(({ event_id: found }) => found === id))
    },
    HEALING_MS,
  )
}

async function sendSome(client: TestClient, roomId: string, count: number): Promise<string[]> {
  const ids: string[] = []
  for (let index = 0; index < count; index += 1) ids.push(await client.sendText(roomId, `${client.userId} ${index}`))
  return ids
}

/** One random state change that may or may not be allowed by now. */
async function changeSomething(
  client: TestClient,
  roomId: string,
  world: { random: () => number; targets: readonly string[]; peers: readonly TestClient[] },
): Promise<void> {
  const { random } = world
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
  const put = async (type: string, key: string, content: unknown): Promise<void> => {
    await client.put(roomPath(roomId, 'state', type, key), content, { expect: [200, 403] })
  }
  const number = Math.floor(random() * 1000)
  const kinds: readonly (() => Promise<unknown>)[] = [
    () => put('m.room.topic', '', { topic: `${client.userId} ${number}` }),
    () => put('m.room.name', '', { name: `${client.userId} ${number}` }),
    () => put('org.example.thing', `k${number % 3}`, { by: client.userId, number }),
    () => put('m.room.join_rules', '', { join_rule: pick(['public', 'invite', 'knock']) }),
    () => put('m.room.power_levels', '', powerLevels(world.peers, pick([0, 10, 50]))),
    () => client.post(roomPath(roomId, 'ban'), { user_id: pick(world.targets) }, { expect: [200, 403] }),
    () => client.post(roomPath(roomId, 'unban'), { user_id: pick(world.targets) }, { expect: [200, 403] }),
    () => client.post(roomPath(roomId, 'kick'), { user_id: pick(world.targets) }, { expect: [200, 403] }),
    () => client.sendText(roomId, `${number}`),
  ]
  await pick(kinds)()
}

function powerLevels(peers: readonly TestClient[], eventsLevel: number): Record<string, unknown> {
  return {
    users: Object.fromEntries(peers.map(({ userId }) => [userId, 100])),
    users_default: 0,
    events_default: 0,
    state_default: 50,
    ban: 50,
    kick: 50,
    redact: 50,
    invite: 0,
    events: { 'org.example.thing': eventsLevel },
  }
}

/** A small random number generator with a seed: the same run again. */
function mulberry(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
