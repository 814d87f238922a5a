import { afterAll, beforeAll, expect, it } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { TestServer } from '../kit/test-server.ts'

const WAITING = '/_matrix/client/unstable/org.matrix.msc4140/delayed_events'
const DELAY = 'org.matrix.msc4140.delay'
let server: TestServer
let alice: TestClient
let bob: TestClient

interface Waiting {
  readonly delayed_events: readonly {
    readonly delay_id: string
    readonly type: string
    readonly state_key?: string
    readonly content: object
  }[]
}

beforeAll(async () => {
  const free = { per_second: 1000, burst_count: 1000 }
  server = await TestServer.start({ config: { max_event_delay_duration: '1h', rc_delayed_event_mgmt: free } })
  ;[alice, bob] = await Promise.all([server.register('alice'), server.register('bob')])
})

afterAll(() => server[Symbol.asyncDispose]())

/** Asks without the kit: the specification's answer of a send has no `delay_id`. */
async function put(
  client: TestClient,
  path: string,
  delayMs: number | string,
  content: object,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${server.baseUrl}${path}?${DELAY}=${delayMs}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${client.accessToken}`, 'content-type': 'application/json' },
    body: JSON.stringify(content),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

async function later(client: TestClient, path: string, delayMs: number, content: object): Promise<string> {
  const { status, body } = await put(client, path, delayMs, content)
  expect(status).toBe(200)
  return String(body['delay_id'])
}

function roomPath(roomId: string, rest: string): string {
  return `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/${rest}`
}

async function waiting(client = alice): Promise<Waiting['delayed_events']> {
  return (await client.get<Waiting>(WAITING)).delayed_events
}

async function texts(roomId: string): Promise<unknown[]> {
  return (await alice.messages(roomId, { dir: 'b', limit: 50 })).chunk.flatMap((event) => event.content['body'] ?? [])
}

it('MSC4140: messages are sent when their time has come, in that order, once for each transaction', async () => {
  const roomId = await alice.createRoom()
  const path = (txnId: string): string => roomPath(roomId, `send/m.room.message/${txnId}`)
  const message = (body: string): object => ({ msgtype: 'm.text', body })
  await later(alice, path('b'), 600, message('second'))
  const first = await later(alice, path('a'), 300, message('first'))
  expect(await later(alice, path('a'), 300, message('first'))).toBe(first)
  const never = await later(alice, path('c'), 3_000_000, message('never'))
  expect((await waiting()).map((event) => event.type)).toEqual(Array.from({ length: 3 }, () => 'm.room.message'))
  expect(await waiting(bob)).toEqual([])
  await expect.poll(() => texts(roomId), { timeout: 20_000 }).toEqual(['second', 'first'])
  expect((await waiting()).map((event) => event.delay_id)).toEqual([never])
  const anybody = server.anonymous()
  await anybody.post(`${WAITING}/${never}/restart`, {})
  await anybody.post(`${WAITING}/${never}/cancel`, {})
  expect(await waiting()).toEqual([])
  await anybody.fails(404, 'M_NOT_FOUND', 'POST', `${WAITING}/${never}/send`, { body: {} })
  await anybody.fails(404, 'M_NOT_FOUND', 'POST', `${WAITING}/${never}/oops`, { body: {} })
  await anybody.fails(401, 'M_MISSING_TOKEN', 'GET', WAITING)
})

it('MSC4140: state waits over a restart, is sent when somebody asks, and yields to what others set', async () => {
  const roomId = await alice.createRoom({ preset: 'public_chat', power_level_content_override: { events: { 'org.example': 0 } } })
  await bob.join(roomId)
  const path = (stateKey: string): string => roomPath(roomId, `state/org.example/${stateKey}`)
  await later(alice, path('restart'), 1500, { set: 'late' })
  const asked = await later(alice, path('asked'), 3_000_000, { set: 'now' })
  await later(alice, path('beaten'), 3_000_000, { set: 'too late' })
  await server.restart()
  expect((await waiting()).map((event) => event.state_key)).toContain('asked')
  await alice.post(`${WAITING}/${asked}`, { action: 'send' })
  expect(await alice.get(path('asked'))).toEqual({ set: 'now' })
  await expect
    .poll(async () => (await alice.exchange('GET', path('restart'), { expect: [200, 404] })).status, { timeout: 20_000 })
    .toBe(200)
  await bob.sendState(roomId, 'org.example', 'beaten', { set: 'by bob' })
  await expect.poll(() => waiting(), { timeout: 20_000 }).toEqual([])
})

it('MSC4140: delays have their limits', async () => {
  const roomId = await alice.createRoom()
  const path = roomPath(roomId, 'send/m.room.message/limits')
  const tooLong = await put(alice, path, 3_600_001, {})
  expect(tooLong).toMatchObject({
    status: 400,
    body: { 'org.matrix.msc4140.errcode': 'M_MAX_DELAY_EXCEEDED', 'org.matrix.msc4140.max_delay': 3_600_000 },
  })
  expect((await put(alice, path, -1, {})).status).toBe(400)
  expect((await put(alice, path, 'soon', {})).status).toBe(400)
  const versions = await alice.get<{ unstable_features: Record<string, boolean> }>('/_matrix/client/versions')
  expect(versions.unstable_features['org.matrix.msc4140']).toBe(true)
})
