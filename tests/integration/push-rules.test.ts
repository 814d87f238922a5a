import { expect, test } from 'vitest'
import { TestServer } from '../kit/test-server.ts'

const RULES = '/_matrix/client/v3/pushrules/'
const GLOBAL = '/_matrix/client/v3/pushrules/global'

interface Rule {
  rule_id: string
  enabled: boolean
  default: boolean
  actions: unknown[]
  pattern?: string
}
type Rules = { global: Record<string, Rule[]> }

test('a new account has the default rules, under both paths with and without the slash at the end', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const { global } = await alice.get<Rules>(RULES)
  expect(global['override']?.[0]).toMatchObject({ rule_id: '.m.rule.master', enabled: false, default: true })
  expect(await alice.get(`${GLOBAL}/`)).toEqual(global)
  expect(await alice.get(RULES.slice(0, -1))).toEqual({ global })
  expect(await alice.get(GLOBAL)).toEqual(global)
  expect(global['content']?.[0]).toMatchObject({ rule_id: '.m.rule.contains_user_name', pattern: 'alice' })
})

test('a rule is added, read, placed, replaced, switched, given other actions, and deleted', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const order = async (): Promise<string[]> =>
    (await alice.get<Rules>(RULES)).global['content']?.filter((rule) => !rule.default).map((rule) => rule.rule_id) ?? []
  const put = (id: string, query: Record<string, string> = {}): Promise<unknown> =>
    alice.request('PUT', `${GLOBAL}/content/${id}`, { body: { pattern: id, actions: ['notify'] }, query })
  expect(await put('one')).toEqual({})
  await put('two')
  await put('three', { after: 'two' })
  await put('four', { before: 'one' })
  expect(await order()).toEqual(['two', 'three', 'four', 'one'])
  expect(await alice.get(`${GLOBAL}/content/one`)).toEqual({
    rule_id: 'one',
    default: false,
    enabled: true,
    pattern: 'one',
    actions: ['notify'],
  })
  await alice.put(`${GLOBAL}/content/one/enabled`, { enabled: false })
  expect(await alice.get(`${GLOBAL}/content/one/enabled`)).toEqual({ enabled: false })
  await alice.put(`${GLOBAL}/content/one/actions`, { actions: ['notify', { set_tweak: 'highlight' }] })
  expect(await alice.get(`${GLOBAL}/content/one/actions`)).toEqual({ actions: ['notify', { set_tweak: 'highlight' }] })
  await put('one')
  expect(await alice.get(`${GLOBAL}/content/one`)).toMatchObject({ enabled: false, actions: ['notify'] })
  await alice.delete(`${GLOBAL}/content/one`)
  expect(await order()).toEqual(['two', 'three', 'four'])
  await server.restart()
  expect(await order()).toEqual(['two', 'three', 'four'])
})

test('historical actions come back as they were sent', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  await alice.put(`${GLOBAL}/sender/${alice.userId}`, { actions: ['dont_notify'] })
  for (let round = 0; round < 2; round++)
    expect((await alice.get<Rules>(RULES)).global['sender']?.[0]?.actions).toEqual(['dont_notify'])
})

test('default rules can be switched and given other actions, but neither replaced nor deleted', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  await alice.put(`${GLOBAL}/underride/.m.rule.message/enabled`, { enabled: false })
  await alice.put(`${GLOBAL}/underride/.m.rule.message/actions`, { actions: [] })
  expect(await alice.get(`${GLOBAL}/underride/.m.rule.message`)).toMatchObject({ enabled: false, actions: [], default: true })
  await alice.fails(400, 'M_INVALID_PARAM', 'PUT', `${GLOBAL}/underride/.m.rule.message`, {
    body: { conditions: [], actions: [] },
  })
  await alice.fails(404, 'M_NOT_FOUND', 'DELETE', `${GLOBAL}/underride/.m.rule.message`)
})

test('what is malformed or unknown is refused', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const content = `${GLOBAL}/content`
  await alice.fails(400, 'M_INVALID_PARAM', 'PUT', `${GLOBAL}/postcontent/a`, { body: { actions: [] } })
  await alice.fails(404, 'M_NOT_FOUND', 'GET', `${GLOBAL}/postcontent/.io.element.msc4306.rule.subscribed_thread`)
  await alice.fails(404, 'M_NOT_FOUND', 'GET', `${content}/none`)
  await alice.fails(404, 'M_NOT_FOUND', 'GET', `${content}/none/enabled`)
  await alice.fails(404, 'M_NOT_FOUND', 'PUT', `${content}/none/enabled`, { body: { enabled: true } })
  await alice.fails(404, 'M_NOT_FOUND', 'GET', `${content}/none/actions`)
  await alice.fails(404, 'M_NOT_FOUND', 'PUT', `${content}/none/actions`, { body: { actions: [] } })
  await alice.fails(404, 'M_NOT_FOUND', 'DELETE', `${content}/none`)
  await alice.fails(400, 'M_UNKNOWN', 'PUT', `${content}/a`, { body: { pattern: 'a', actions: [] }, query: { before: 'none' } })
  await alice.fails(400, 'M_INVALID_PARAM', 'PUT', `${content}/${encodeURIComponent('a/b')}`, {
    body: { pattern: 'a', actions: [] },
  })
  await alice.fails(400, 'M_MISSING_PARAM', 'PUT', `${content}/a`, { body: { pattern: 'a' } })
  await alice.fails(400, 'M_MISSING_PARAM', 'PUT', `${content}/a`, { body: { actions: [] } })
  await alice.fails(400, 'M_INVALID_PARAM', 'PUT', `${content}/a`, { body: [1] })
  await alice.fails(400, 'M_MISSING_PARAM', 'PUT', `${content}/a/enabled`, { body: {} })
  await alice.fails(400, 'M_BAD_JSON', 'PUT', `${content}/a/enabled`, { body: { enabled: 'yes' } })
  await server.anonymous().fails(401, 'M_MISSING_TOKEN', 'GET', RULES)
})

test('changes of one user at the same time are all kept', async () => {
  await using server = await TestServer.start()
  const alice = await server.register('alice')
  const rooms = Array.from({ length: 12 }, (_, index) => `!room${index}:test.example`)
  await Promise.all(rooms.map((room) => alice.put(`${GLOBAL}/room/${room}`, { actions: [] })))
  const { global } = await alice.get<Rules>(RULES)
  expect(global['room']?.map((rule) => rule.rule_id).sort()).toEqual([...rooms].sort())
})
