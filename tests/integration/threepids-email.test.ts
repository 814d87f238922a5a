import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { mailConfig } from '../kit/mail-config.ts'
import { linkIn, SmtpSink } from '../kit/smtp-sink.ts'
import { TestServer } from '../kit/test-server.ts'

const V3 = '/_matrix/client/v3'
const REGISTER = `${V3}/register`
const EMAIL_STAGE = 'm.login.email.identity'
let sink: SmtpSink
let server: TestServer

interface Asked {
  readonly session: string
  readonly flows: readonly { readonly stages: readonly string[] }[]
  readonly errcode?: string
}

beforeAll(async () => {
  sink = await SmtpSink.start()
  server = await TestServer.start({
    config: {
      ...mailConfig(sink),
      allowed_local_3pids: [{ medium: 'email', pattern: '^[^@]+@example\\.(org|com)$' }],
      next_link_domain_whitelist: ['app.example'],
    },
  })
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await sink[Symbol.asyncDispose]()
})

function ask(path: string, email: string, more: Readonly<Record<string, unknown>> = {}): Promise<{ sid: string }> {
  const body = { client_secret: 'monkeys_are_GREAT', send_attempt: 1, email, ...more }
  return server.anonymous().post(`${V3}${path}/email/requestToken`, body)
}

/** Opens the link of the newest mail to the address, as a browser would. */
async function open(to: string, { count = 1 } = {}): Promise<string> {
  const mails = await sink.waitFor(to, count)
  const answer = await server.anonymous().exchange('GET', linkIn(mails.at(-1)))
  expect(answer.headers['content-security-policy']).toContain("frame-ancestors 'none'")
  return answer.bytes.toString('utf8')
}

function credentials(sid: string): Record<string, unknown> {
  return { type: EMAIL_STAGE, threepid_creds: { sid, client_secret: 'monkeys_are_GREAT' } }
}

async function addEmail(client: TestClient, email: string): Promise<void> {
  const { sid } = await ask('/account/3pid', email)
  await open(email)
  const path = `${V3}/account/3pid/add`
  const body = { sid, client_secret: 'monkeys_are_GREAT' }
  const { session } = await client.request<Asked>('POST', path, { body, expect: 401 })
  const auth = {
    type: 'm.login.password',
    session,
    password: client.password,
    identifier: { type: 'm.id.user', user: client.userId },
  }
  await client.post(path, { ...body, auth })
}

test('an account can be made with an e-mail address, which is then its own (AU-01, AU-17)', async () => {
  const wanted = { username: 'anna', password: 'secret of anna' }
  const client = server.anonymous()
  const { session, flows } = await client.request<Asked>('POST', REGISTER, { body: wanted, expect: 401 })
  expect(flows).toEqual([{ stages: ['m.login.dummy'] }, { stages: [EMAIL_STAGE] }])
  const { sid } = await ask('/register', 'Anna@Example.org')
  const body = { ...wanted, auth: { ...credentials(sid), session } }
  const early = await client.request<Asked>('POST', REGISTER, { body, expect: 401 })
  expect(early.errcode).toBe('M_THREEPID_AUTH_FAILED')
  expect(await open('anna@example.org')).toContain('Your address is confirmed')
  const { access_token: token } = await client.request<{ access_token: string }>('POST', REGISTER, { body })
  const { threepids } = await client.get<{ threepids: unknown[] }>(`${V3}/account/3pid`, { token })
  expect(threepids).toMatchObject([{ medium: 'email', address: 'anna@example.org' }])

  const identifier = { type: 'm.id.thirdparty', medium: 'email', address: 'ANNA@example.org' }
  const login = { type: 'm.login.password', identifier, password: wanted.password }
  expect(await client.post(`${V3}/login`, login)).toMatchObject({ user_id: '@anna:test.example' })
  const again = { client_secret: 'x', send_attempt: 1, email: 'anna@example.org' }
  await client.fails(400, 'M_THREEPID_IN_USE', 'POST', `${V3}/register/email/requestToken`, { body: again })
  // A session proves an address once.
  const second = { username: 'anna2', password: 'x', auth: credentials(sid) }
  expect(await client.request<Asked>('POST', REGISTER, { body: second, expect: 401 })).toMatchObject({
    errcode: 'M_THREEPID_AUTH_FAILED',
  })
})

test('asking again with the same attempt sends nothing; a later attempt sends another link of the same session', async () => {
  const first = await ask('/register', 'again@example.org')
  expect(await ask('/register', 'again@example.org')).toEqual(first)
  expect(await ask('/register', 'again@example.org', { send_attempt: 2 })).toEqual(first)
  expect(await ask('/register', 'again@example.org', { send_attempt: 3, next_link: 'https://app.example/?x=1' })).toEqual(first)
  const mails = await sink.waitFor('again@example.org', 3)
  expect(mails).toHaveLength(3)
  const { headers } = await server.anonymous().exchange('GET', linkIn(mails[2]), { expect: 302 })
  expect(headers['location']).toBe(`https://app.example/?x=1&sid=${first.sid}`)
})

test('what is no address, not allowed, or leads elsewhere is refused (AU-23)', async () => {
  const path = `${V3}/register/email/requestToken`
  const body = { client_secret: 'secret', send_attempt: 1, email: 'eve@example.org' }
  const client = server.anonymous()
  const refused = (errcode: string, status: number, change: Record<string, unknown>): Promise<unknown> =>
    client.fails(status, errcode, 'POST', path, { body: { ...body, ...change } })
  await refused('M_INVALID_PARAM', 400, { email: 'eve@example.org\r\nBcc: bob@example.org' })
  await refused('M_INVALID_PARAM', 400, { client_secret: 'no spaces' })
  await refused('M_INVALID_PARAM', 400, { next_link: 'https://evil.example/' })
  await refused('M_INVALID_PARAM', 400, { next_link: 'javascript:alert(1)' })
  await refused('M_THREEPID_DENIED', 403, { email: 'eve@elsewhere.example' })
  const phone = { client_secret: 'secret', send_attempt: 1, country: 'GB', phone_number: '07700900001' }
  await client.fails(400, 'M_THREEPID_MEDIUM_NOT_SUPPORTED', 'POST', `${V3}/register/msisdn/requestToken`, { body: phone })
  expect(sink.mailsTo('eve@example.org')).toEqual([])
})

test('a wrong or foreign token shows why, and proves nothing', async () => {
  const { sid } = await ask('/account/3pid', 'wrong@example.org')
  const link = linkIn((await sink.waitFor('wrong@example.org'))[0])
  const client = server.anonymous()
  for (const bad of [
    link.replace(/token=\w+/, 'token=x'),
    link.replace('add_threepid', 'registration'),
    link.replace('monkeys', 'apes'),
  ]) {
    const page = await client.exchange('GET', bad, { expect: 400 })
    expect(page.bytes.toString('utf8')).toContain('could not be confirmed')
  }
  const bob = await server.register('bob')
  const body = { three_pid_creds: { sid, client_secret: 'monkeys_are_GREAT', id_server: 'x', id_access_token: 'y' } }
  await bob.fails(400, 'M_THREEPID_AUTH_FAILED', 'POST', `${V3}/account/3pid`, { body })
})

test('an address is added after confirmation, belongs to one account, and can be taken away (AU-17)', async () => {
  const carl = await server.register('carl')
  await addEmail(carl, 'carl@example.com')
  const list = (): Promise<{ threepids: unknown[] }> => carl.get(`${V3}/account/3pid`)
  expect((await list()).threepids).toMatchObject([{ address: 'carl@example.com' }])
  const body = { client_secret: 'other', send_attempt: 1, email: 'carl@example.com' }
  await carl.fails(400, 'M_THREEPID_IN_USE', 'POST', `${V3}/account/3pid/email/requestToken`, { body })
  const address = { medium: 'email', address: 'CARL@example.com' }
  expect(await carl.post(`${V3}/account/3pid/delete`, address)).toEqual({ id_server_unbind_result: 'no-support' })
  expect((await list()).threepids).toEqual([])
})

test('who has lost the password sets a new one by mail; all logins end (AU-17)', async () => {
  const dora = await server.register('dora')
  await addEmail(dora, 'dora@example.org')
  const before = sink.mailsTo('dora@example.org').length
  const { sid } = await ask('/account/password', 'dora@example.org')
  const path = `${V3}/account/password`
  const client = server.anonymous()
  const { session, flows } = await client.request<Asked>('POST', path, { body: { new_password: 'fresh one' }, expect: 401 })
  expect(flows).toEqual([{ stages: [EMAIL_STAGE] }])
  const body = { new_password: 'fresh one', auth: { ...credentials(sid), session } }
  // Opening the link confirms nothing yet.
  expect(await open('dora@example.org', { count: before + 1 })).toContain('<form method="post">')
  await client.request('POST', path, { body, expect: 401 })
  const link = linkIn(sink.mailsTo('dora@example.org').at(-1))
  const form = { rawBody: link.split('?')[1] ?? '', contentType: 'application/x-www-form-urlencoded' }
  const page = await client.exchange('POST', link.split('?')[0] ?? '', form)
  expect(page.bytes.toString('utf8')).toContain('Confirmed')
  await client.request('POST', path, { body })
  await dora.fails(401, 'M_UNKNOWN_TOKEN', 'GET', `${V3}/account/whoami`)
  await client.login('dora', 'fresh one')
  await client.fails(400, 'M_THREEPID_NOT_FOUND', 'POST', `${path}/email/requestToken`, {
    body: { client_secret: 'x', send_attempt: 1, email: 'nobody@example.org' },
  })
})

test('a mail that can not be sent is an error, and may be asked for again with the same attempt', async () => {
  const path = `${V3}/register/email/requestToken`
  const body = { client_secret: 'later', send_attempt: 1, email: 'later@example.org' }
  sink.isBroken = true
  await server.anonymous().request('POST', path, { body, expect: 502 })
  sink.isBroken = false
  await server.anonymous().post(path, body)
  await sink.waitFor('later@example.org')
})
