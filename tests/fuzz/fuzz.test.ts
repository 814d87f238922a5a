import { expect, test } from 'vitest'
import { Agent, request } from 'undici'
import type { TestClient } from '../kit/client.ts'
import { eventIdsOf } from '../kit/sync-response.ts'
import { environmentNumber } from '../kit/environment.ts'
import { loadOperations } from '../kit/spec/operations.ts'
import { TestServer } from '../kit/test-server.ts'
import { RequestGenerator } from './request-generator.ts'
import type { FuzzRequest } from './request-generator.ts'
import type { Vocabulary } from './schema-values.ts'
import { SeededRandom } from './seeded-random.ts'

const REQUESTS = environmentNumber('GANGLION_FUZZ_REQUESTS', 2500)
const SEED = environmentNumber('GANGLION_FUZZ_SEED', 1)
/** Requests under way at once, so that they also meet each other. */
const CONCURRENCY = 8
const CHECK_EVERY = 250
const ANSWER_WITHIN_MS = 15_000
/** These may wait as long as they are asked to. */
const LONG_POLLS = new Set(['sync', 'getEvents', 'peekEvents'])
/** Statuses from 500 on that the specification gives a meaning. */
const DOCUMENTED_STATUSES = new Set([501, 502, 504])

interface Attacker {
  readonly client: TestClient
  readonly generator: RequestGenerator
}

interface Answer {
  readonly status: number
  readonly text: string
  readonly tookMs: number
}

test('no request made from the schemas of the specification makes the server fail', { timeout: 600_000 }, async () => {
  await using server = await TestServer.start()
  const bystander = await server.register('bystander')
  const roomId = await bystander.createRoom({ preset: 'public_chat', name: 'a room' })
  await using arena = await Arena.open(server, bystander, roomId)
  let since = (await bystander.sync()).next_batch
  for (let done = 0; done < REQUESTS; done += CHECK_EVERY) {
    await arena.run(Math.min(CHECK_EVERY, REQUESTS - done))
    since = await checkBystander(bystander, since)
  }
  expect(arena.failures, `seed ${SEED}`).toEqual([])
})

/** Talks to oneself in a room of one's own (the shared one may be gone by now), and reads it by both kinds of sync. */
async function checkBystander(bystander: TestClient, since: string): Promise<string> {
  const roomId = await bystander.createRoom({})
  const eventId = await bystander.sendText(roomId, 'still here')
  const responses = await bystander.syncUntil((response) => eventIdsOf(response, roomId).includes(eventId), { since })
  const initial = await bystander.sync()
  expect(eventIdsOf(initial, roomId)).toContain(eventId)
  return responses.at(-1)?.next_batch ?? since
}

/** The attackers' side: sends generated requests and keeps what must not happen. */
class Arena implements AsyncDisposable {
  readonly failures: string[] = []
  readonly #server: TestServer
  readonly #bystander: TestClient
  readonly #random = new SeededRandom(SEED)
  readonly #agent = new Agent({ connections: CONCURRENCY, headersTimeout: 60_000 })
  readonly #operations = loadOperations('client-server').filter((operation) => !operation.path.startsWith('/.well-known'))
  readonly #roomId: string
  #attacker: Attacker
  #attackerCount = 1

  private constructor(parts: { server: TestServer; bystander: TestClient; roomId: string; attacker: TestClient }) {
    this.#server = parts.server
    this.#bystander = parts.bystander
    this.#roomId = parts.roomId
    this.#attacker = { client: parts.attacker, generator: new RequestGenerator(this.#random, { byFormat: {}, byName: {} }) }
  }

  static async open(server: TestServer, bystander: TestClient, roomId: string): Promise<Arena> {
    const arena = new Arena({ server, bystander, roomId, attacker: await server.register('attacker') })
    await arena.#equip(arena.#attacker.client)
    return arena
  }

  async run(count: number): Promise<void> {
    let left = count
    const worker = async (): Promise<void> => {
      while (left > 0) {
        left -= 1
        await this.#attack(this.#attacker.generator.make(this.#random.pick(this.#operations)))
      }
    }
    await Promise.all(Array.from({ length: CONCURRENCY }, worker))
  }

  async #attack(attack: FuzzRequest): Promise<void> {
    const { client } = this.#attacker
    const answer = await this.#send(attack, client.accessToken)
    if (answer === undefined) return
    const problem = problemOf(attack, answer)
    if (problem !== undefined)
      this.failures.push(`${problem}: ${describe(attack)} -> ${answer.status} ${answer.text.slice(0, 300)}`)
    // A lucky logout or deactivation.
    const isLocked = answer.status === 401 && answer.text.includes('M_UNKNOWN_TOKEN')
    if (isLocked && client === this.#attacker.client) await this.#replaceAttacker()
  }

  async #replaceAttacker(): Promise<void> {
    this.#attackerCount += 1
    await this.#equip(await this.#server.register(`attacker${this.#attackerCount}`))
  }

  /** Gives the attacker a room of its own, where it has all power, and a generator that knows what is its own. */
  async #equip(client: TestClient): Promise<void> {
    const ownRoomId = await client.createRoom({ preset: 'public_chat', power_level_content_override: { users_default: 50 } })
    await client.request('POST', `/_matrix/client/v3/join/${encodeURIComponent(this.#roomId)}`, { body: {}, expect: 'any' })
    const vocabulary = await vocabularyOf(client, { bystander: this.#bystander, roomId: this.#roomId, ownRoomId })
    this.#attacker = { client, generator: new RequestGenerator(this.#random, vocabulary) }
  }

  async #send(attack: FuzzRequest, token: string | undefined): Promise<Answer | undefined> {
    const startedMs = performance.now()
    const mayWait = LONG_POLLS.has(attack.operation.operationId)
    try {
      const response = await request(this.#server.baseUrl + attack.path, {
        method: attack.method as 'GET',
        headers: {
          authorization: `Bearer ${token ?? ''}`,
          ...(attack.body === undefined ? {} : { 'content-type': attack.contentType }),
        },
        body: attack.body ?? null,
        dispatcher: this.#agent,
        signal: AbortSignal.timeout(mayWait ? 500 : 30_000),
      })
      const text = await response.body.text()
      return { status: response.statusCode, text, tookMs: performance.now() - startedMs }
    } catch (error) {
      // A server may close the connection under a body that is too large, once it has answered; the client then may not see the answer.
      const isRefusedUpload = typeof attack.body === 'string' && attack.body.length > 100_000
      if (!mayWait && !isRefusedUpload) this.failures.push(`no answer (${String(error)}): ${describe(attack)}`)
      return undefined
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy()
  }
}

function problemOf(attack: FuzzRequest, answer: Answer): string | undefined {
  if (answer.status >= 500 && !DOCUMENTED_STATUSES.has(answer.status)) return 'server error'
  if (answer.tookMs > ANSWER_WITHIN_MS && !LONG_POLLS.has(attack.operation.operationId))
    return `slow (${Math.round(answer.tookMs)} ms)`
  if (answer.status >= 400 && !/"(?:errcode|flows)"/.test(answer.text)) return 'an error without errcode'
  return undefined
}

function describe(attack: FuzzRequest): string {
  const body =
    typeof attack.body === 'string' ? attack.body : attack.body === undefined ? '' : Buffer.from(attack.body).toString('hex')
  return `${attack.method} ${attack.path.slice(0, 500)} ${body.slice(0, 500)}`
}

async function vocabularyOf(
  attacker: TestClient,
  world: { bystander: TestClient; roomId: string; ownRoomId: string },
): Promise<Vocabulary> {
  const { bystander, roomId, ownRoomId } = world
  const eventId = await attacker.sendText(ownRoomId, 'a message')
  const filterId = await attacker.post<{ filter_id: string }>(
    `/_matrix/client/v3/user/${encodeURIComponent(attacker.userId)}/filter`,
    {},
  )
  const { next_batch: token } = await attacker.sync()
  const users = [attacker.userId, attacker.userId, bystander.userId, '@nobody:test.example', '@a:elsewhere.example']
  const types = [
    'm.room.message',
    'm.room.member',
    'm.room.power_levels',
    'm.room.name',
    'm.room.encrypted',
    'm.reaction',
    'm.room.canonical_alias',
    'm.room.join_rules',
    'm.room.server_acl',
    'm.space.child',
    'm.room.third_party_invite',
    'org.example.x',
  ]
  return {
    byFormat: {
      'mx-user-id': users,
      'mx-room-id': [roomId, ownRoomId, '!nothing:test.example'],
      'mx-event-id': [eventId, eventId, '$nothing'],
      'mx-room-alias': ['#alias:test.example', '#other:test.example'],
      'mx-server-name': ['test.example', 'elsewhere.example'],
      'mx-mxc-uri': ['mxc://test.example/abc'],
      uri: ['https://example.org/', 'mxc://test.example/abc'],
    },
    byName: {
      userId: users,
      roomId: [roomId, ownRoomId, ownRoomId, '!nothing:test.example'],
      roomIdOrAlias: [roomId, ownRoomId, '#alias:test.example'],
      roomAlias: ['#alias:test.example'],
      eventId: [eventId, eventId, '$nothing'],
      eventType: types,
      type: [...types, 'm.login.password', 'm.login.dummy', 'm.direct', 'm.tag'],
      stateKey: ['', attacker.userId, bystander.userId, 'key'],
      relType: ['m.annotation', 'm.replace', 'm.thread', 'm.reference'],
      deviceId: [attacker.deviceId, 'OTHER'],
      device_id: [attacker.deviceId, 'OTHER'],
      filterId: [filterId.filter_id, '999'],
      serverName: ['test.example', 'elsewhere.example'],
      mediaId: ['abc'],
      since: [token],
      from: [token],
      to: [token],
      txnId: ['one', 'two', 'three'],
      receiptType: ['m.read', 'm.read.private', 'm.fully_read'],
      kind: ['override', 'underride', 'sender', 'room', 'content'],
      ruleId: ['.m.rule.master', 'mine'],
      dir: ['b', 'f'],
      key: ['ed25519:OTHER', 'm.room.message', attacker.userId, roomId, 'displayname'],
      timeout: ['0'],
    },
  }
}
