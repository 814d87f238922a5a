import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ENDPOINTS } from '../../src/api/endpoints.ts'
import { writeHaproxy } from '../../src/process/proxy-config/haproxy.ts'
import { buildProxyModel } from '../../src/process/proxy-config/model.ts'
import type { PooledRoute, ProxyModel } from '../../src/process/proxy-config/model.ts'
import { writeNginx } from '../../src/process/proxy-config/nginx.ts'
import { findRoute, samplePath } from '../../src/process/proxy-config/routes.ts'
import { parseUserId } from '../../src/protocol/ids.ts'
import { makeToken } from '../../src/services/accounts/tokens.ts'
import { systemRandom } from '../../src/util/random.ts'
import { ProxyTopology, WISHED_POOLS } from '../kit/proxy-topology.ts'
import { RunningProxy } from '../kit/proxy-runner.ts'

let topology: ProxyTopology
beforeAll(async () => {
  topology = await ProxyTopology.start()
})
afterAll(() => topology[Symbol.asyncDispose]())

function tokenOf(name: string): string {
  return makeToken('syt', parseUserId(`@${name}:example.com`), systemRandom)
}

function bearer(token: string): { headers: Record<string, string> } {
  return { headers: { authorization: `Bearer ${token}` } }
}

function membersFor(model: ProxyModel, method: string, path: string): string[] {
  const route = findRoute(model.routes, method, path) as PooledRoute | undefined
  // No sample path has a query, so none has `since`.
  return (route?.poolWithoutSince ?? route?.pool)?.members.map(({ process }) => process) ?? []
}

describe.each([
  ['nginx', writeNginx],
  ['haproxy', writeHaproxy],
] as const)('%s', (kind, write) => {
  let proxy: RunningProxy
  let model: ProxyModel
  beforeAll(async () => {
    const port = await topology.freePort()
    model = buildProxyModel(topology.read(), { listen: [`127.0.0.1:${port}`], pools: WISHED_POOLS })
    proxy = await RunningProxy.start(kind, write(model), port)
  })
  afterAll(() => proxy.stop())

  const processOf = async (method: string, path: string, options: Parameters<RunningProxy['send']>[2] = {}): Promise<string> =>
    (await proxy.send(method, path, options)).process ?? 'the proxy'

  test('every path of every endpoint reaches a process that the model names (LB-05, LB-07, LB-13, LB-14)', async () => {
    const wrong: string[] = []
    let count = 0
    for (const { method, paths } of ENDPOINTS) {
      for (const template of paths) {
        const path = samplePath(template)
        const expected = membersFor(model, method, path)
        const got = await processOf(method, encodeURI(path))
        if (!expected.includes(got)) wrong.push(`${method} ${path}: ${got} instead of ${expected.join(' or ')}`)
        count += 1
      }
    }
    expect(wrong).toEqual([])
    expect(count).toBeGreaterThan(250)
  })

  test.each([
    ['PUT', '/_matrix/client/v3/rooms/!r:x/typing/@a:x', ['typing1']],
    ['PUT', '/_matrix/client/v3/sendToDevice/m.x/1', ['to_device1']],
    ['PUT', '/_matrix/client/v3/user/@a:x/account_data/m.x', ['account_data1']],
    ['GET', '/_matrix/client/r0/user/@a:x/rooms/!r:x/tags', ['account_data1']],
    ['POST', '/_matrix/client/v3/rooms/!r:x/receipt/m.read/$e', ['receipts1']],
    ['POST', '/_matrix/client/v3/rooms/!r:x/read_markers', ['receipts1']],
    ['PUT', '/_matrix/client/v3/presence/@a:x/status', ['presence1']],
    ['PUT', '/_matrix/client/v3/pushrules/global/room/!r:x', ['push_rules1']],
    ['POST', '/_matrix/client/v3/keys/upload', ['device_lists1']],
    ['GET', '/_matrix/client/v3/devices', ['device_lists1']],
    ['PUT', '/_matrix/client/v3/rooms/!r:x/send/m.room.message/1', ['persister1', 'persister2']],
    ['PUT', '/_matrix/client/v3/rooms/!r:x/state/m.room.name/', ['persister1', 'persister2']],
    ['GET', '/_matrix/client/v3/rooms/!r:x/state/m.room.name/', ['generic1', 'generic2']],
    ['POST', '/_matrix/client/v3/user_directory/search', ['directory1']],
    ['POST', '/_matrix/client/v3/login', ['login1']],
    ['GET', '/_matrix/client/v3/login/sso/redirect', ['main']],
    ['GET', '/_synapse/client/oidc/callback', ['main']],
    ['GET', '/_matrix/media/v3/download/x/y', ['media1', 'media2']],
    ['GET', '/_matrix/federation/v1/media/download/y', ['media1', 'media2']],
    ['POST', '/_synapse/admin/v1/purge_media_cache', ['media1', 'media2']],
    ['GET', '/_synapse/admin/v2/users/@a:x', ['main']],
    ['PUT', '/_matrix/federation/v2/send_join/!r:x/$e', ['generic1', 'generic2']],
    ['POST', '/_matrix/key/v2/query', ['generic1', 'generic2']],
    ['GET', '/_matrix/client/v3/sync?since=s1', ['sync1', 'sync2']],
    ['GET', '/_matrix/client/v3/sync', ['initial1']],
    ['GET', '/_matrix/client/v3/sync?since=&timeout=1', ['initial1']],
    ['GET', '/_matrix/client/r0/rooms/!r:x/initialSync', ['initial1']],
    ['GET', '/_matrix/client/v3/events?from=s1', ['sync1', 'sync2']],
    ['POST', '/_matrix/client/unstable/org.matrix.simplified_msc3575/sync', ['sync1', 'sync2']],
    ['GET', '/_matrix/client/v9/unheard/of', ['main']],
  ])('%s %s goes to %j', async (method, path, expected) => {
    expect(expected).toContain(await processOf(method, path))
  })

  test('all syncs of a user reach one process, whichever device asks and wherever its token stands (LB-02, LB-03)', async () => {
    const used = new Set<string>()
    for (let user = 0; user < 24; user += 1) {
      const [phone, laptop] = [tokenOf(`user${user}`), tokenOf(`user${user}`)]
      const first = await processOf('GET', '/_matrix/client/v3/sync?since=s1', bearer(phone))
      expect(await processOf('GET', '/_matrix/client/v3/sync?since=s2', bearer(laptop))).toBe(first)
      expect(await processOf('GET', `/_matrix/client/r0/sync?since=s3&access_token=${phone}`)).toBe(first)
      expect(await processOf('GET', `/_matrix/client/r0/sync?access_token=${laptop}&since=s3`)).toBe(first)
      used.add(first)
    }
    expect([...used].toSorted()).toEqual(['sync1', 'sync2'])
  })

  test('a token of another form counts as a whole', async () => {
    const first = await processOf('GET', '/_matrix/client/v3/sync?since=s1', bearer('as-token'))
    expect(await processOf('GET', '/_matrix/client/v3/sync?since=s1', bearer('as-token'))).toBe(first)
  })

  test('what is sent into a room, and pages of it, reach one process each, however the room id is encoded (LB-08, LB-10)', async () => {
    const used = new Set<string>()
    for (let number = 0; number < 24; number += 1) {
      const room = `!room${number}:example.com`
      const first = await processOf('PUT', `/_matrix/client/v3/rooms/${room}/send/m.room.message/1`)
      expect(await processOf('PUT', `/_matrix/client/r0/rooms/${encodeURIComponent(room)}/send/m.room.message/2`)).toBe(first)
      expect(await processOf('POST', `/_matrix/client/v3/rooms/%21room${number}%3Aexample.com/invite`)).toBe(first)
      expect(await processOf('POST', `/_matrix/client/v3/join/${room}`)).toBe(first)
      const page = await processOf('GET', `/_matrix/client/v3/rooms/${room}/messages?dir=b`)
      expect(await processOf('GET', `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/messages?dir=f`)).toBe(page)
      used.add(first).add(page)
    }
    expect([...used].toSorted()).toEqual(['generic1', 'generic2', 'persister1', 'persister2'])
  })

  test('transactions of one server reach one process (LB-06)', async () => {
    const used = new Set<string>()
    for (let host = 2; host < 26; host += 1) {
      const from = `127.0.0.${host}`
      const first = await processOf('PUT', `/_matrix/federation/v1/send/${host}`, { from })
      expect(await processOf('PUT', `/_matrix/federation/v1/send/${host}-again`, { from })).toBe(first)
      used.add(first)
    }
    expect([...used].toSorted()).toEqual(['generic1', 'generic2'])
  })

  test('the path arrives as it was sent, with where it came from and an id, and nothing that only our processes may say', async () => {
    const path = '/_matrix/client/v3/rooms/!a%2Fb:x/state/m.x/k%2F%2e%20//?q=%2B'
    const { answer } = await proxy.send('GET', path, {
      headers: { 'x-forwarded-for': '6.6.6.6', 'x-forwarded-worker': 'main', host: 'example.com' },
    })
    expect(answer?.url).toBe(path)
    expect(answer?.headers).toMatchObject({
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'http',
      host: 'example.com',
      'x-request-id': expect.stringMatching(/^[0-9a-f-]{32,36}$/) as string,
    })
    expect(answer?.headers['x-forwarded-worker'] ?? '').toBe('')
  })

  test.each([
    '/_synapse/replication/r1/doctor.ping',
    '/_synapse/%72eplication/r1/doctor.ping',
    '/_synapse/admin/../replication/r1/doctor.ping',
    '/_matrix/../_synapse/metrics',
    '/_synapse/metrics',
    '/metrics',
    '/something',
  ])('%s is answered by the proxy, with a Matrix error', async (path) => {
    const { status, process, text } = await proxy.send('POST', path)
    expect({ status, process }).toEqual({ status: 404, process: undefined })
    expect(JSON.parse(text)).toMatchObject({ errcode: 'M_UNRECOGNIZED' })
  })

  test('uploads may be as large as the configuration says, other bodies may not', async () => {
    const body = Buffer.alloc(14_000_000)
    const upload = await proxy.send('POST', '/_matrix/media/v3/upload', { body })
    expect(upload.answer?.bodyBytes).toBe(body.length)
    const other = await proxy.send('PUT', '/_matrix/client/v3/rooms/!r:x/send/m.x/1', { announcedBytes: body.length })
    expect(other.status).toBe(413)
    expect(JSON.parse(other.text)).toMatchObject({ errcode: 'M_TOO_LARGE' })
  })

  test('an administration API that is hidden is answered by the proxy, and all else goes on', async () => {
    const port = await topology.freePort()
    const hidden = buildProxyModel(topology.read(), { listen: [`127.0.0.1:${port}`], isAdminHidden: true })
    const second = await RunningProxy.start(kind, write(hidden), port)
    try {
      const { status, process } = await second.send('GET', '/_synapse/admin/v2/users/@a:x')
      expect({ status, process }).toEqual({ status: 404, process: undefined })
      expect((await second.send('GET', '/_matrix/client/v3/admin/whois/@a:x')).process).toBe('main')
    } finally {
      await second.stop()
    }
  })

  test('a request that a process refuses for now is tried elsewhere, unless it is a POST', async () => {
    const generic = topology.stubs.get('generic1')
    if (generic === undefined) throw new Error('there is no generic1')
    generic.status = 503
    try {
      const statuses = []
      for (let count = 0; count < 6; count += 1)
        statuses.push((await proxy.send('GET', '/_matrix/client/v3/joined_rooms')).status)
      expect(statuses).toEqual([200, 200, 200, 200, 200, 200])
      const before = [...topology.stubs.values()].reduce((sum, { requestCount }) => sum + requestCount, 0)
      await proxy.send('POST', '/_matrix/client/v3/search')
      const after = [...topology.stubs.values()].reduce((sum, { requestCount }) => sum + requestCount, 0)
      expect(after - before).toBe(1)
    } finally {
      generic.status = 200
    }
  })

  test('a process that is gone is passed over, and nobody sees an error (LB-15)', async () => {
    const sync = topology.stubs.get('sync1')
    if (sync === undefined) throw new Error('there is no sync1')
    await sync.close()
    try {
      for (let user = 0; user < 12; user += 1) {
        const response = await proxy.send('GET', '/_matrix/client/v3/sync?since=s1', bearer(tokenOf(`other${user}`)))
        expect(response).toMatchObject({ status: 200, process: 'sync2' })
      }
    } finally {
      await sync.listen(topology.ports.get('sync1') ?? 0)
    }
  })
})
