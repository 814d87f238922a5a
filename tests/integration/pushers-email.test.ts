import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../clients/eventually.ts'
import { roomPath } from '../kit/client.ts'
import type { TestClient } from '../kit/client.ts'
import { mailConfig } from '../kit/mail-config.ts'
import { linkIn, SmtpSink } from '../kit/smtp-sink.ts'
import type { ReceivedMail } from '../kit/smtp-sink.ts'
import { TestServer } from '../kit/test-server.ts'

const V3 = '/_matrix/client/v3'
let sink: SmtpSink
let server: TestServer
let alice: TestClient

beforeAll(async () => {
  sink = await SmtpSink.start()
  const email = { enable_notifs: true, notif_delay_before_mail: 300, client_base_url: 'https://app.example/' }
  server = await TestServer.start({ config: mailConfig(sink, email) })
  alice = await server.register('alice')
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await sink[Symbol.asyncDispose]()
})

/** Makes an account with an e-mail address, which is told of messages by mail from the beginning. */
async function registerWithEmail(localpart: string): Promise<TestClient> {
  const email = `${localpart}@example.org`
  const request = { client_secret: 'secret', send_attempt: 1, email }
  const { sid } = await server.anonymous().post<{ sid: string }>(`${V3}/register/email/requestToken`, request)
  const [mail] = await sink.waitFor(email)
  await server.anonymous().exchange('GET', linkIn(mail))
  const auth = { type: 'm.login.email.identity', threepid_creds: { sid, client_secret: 'secret' } }
  const body = { username: localpart, password: 'secret', auth }
  await server.anonymous().request('POST', `${V3}/register`, { body })
  return server.anonymous().login(localpart, 'secret')
}

/** Waits for a mail about messages that shows the text. */
async function mailShowing(localpart: string, text: string): Promise<ReceivedMail | undefined> {
  const find = (): ReceivedMail | undefined => sink.mailsTo(`${localpart}@example.org`).find((mail) => mail.html.includes(text))
  await eventually(`a mail with ${text}`, () => find() !== undefined, 30_000)
  return find()
}

async function pushersOf(client: TestClient): Promise<readonly { kind: string; pushkey: string }[]> {
  return (await client.get<{ pushers: { kind: string; pushkey: string }[] }>(`${V3}/pushers`)).pushers
}

test('a missed message comes by mail, with what was said around it; what was read does not (PU-02)', async () => {
  const bob = await registerWithEmail('bob')
  expect(await pushersOf(bob)).toMatchObject([{ kind: 'email', app_id: 'm.email', pushkey: 'bob@example.org' }])
  const named = await alice.createRoom({ name: 'Mission <Control>', preset: 'public_chat' })
  await bob.join(named)
  const read = await alice.sendText(named, 'already read')
  await bob.post(roomPath(named, 'receipt', 'm.read', read), {})
  await alice.send(named, 'm.room.message', {
    msgtype: 'm.text',
    body: 'look',
    format: 'org.matrix.custom.html',
    formatted_body: '<b>look</b><script>alert(1)</script> https://a.example',
  })
  const mail = await mailShowing('bob', '<b>look</b>')
  expect(mail?.headers.get('subject')).toBe('[Matrix] You have a message on Matrix from alice in the Mission <Control> room...')
  expect(mail?.text).toContain('look')
  expect(mail?.text).toContain('already read')
  expect(mail?.html).not.toContain('script>')
  expect(mail?.html).toContain('Mission &lt;Control&gt;')
  expect(mail?.html).toContain(`https://app.example/#/room/${named}`)
  expect(mail?.headers.get('list-unsubscribe-post')).toBe('List-Unsubscribe=One-Click')
})

test('what waits while the mail server fails comes after a restart, once (PU-02, PU-03)', async () => {
  const carl = await registerWithEmail('carl')
  const first = await alice.createRoom({ name: 'First', preset: 'public_chat' })
  await carl.join(first)
  sink.isBroken = true
  await alice.sendText(first, 'message one')
  await eventually('the mail server refused', () => sink.refused > 0, 30_000)
  const invited = await alice.createRoom({ name: 'Second', invite: [carl.userId] })
  await server.restart()
  sink.isBroken = false
  await alice.sendText(first, 'message two')
  const mail = await mailShowing('carl', 'message one')
  await mailShowing('carl', `https://app.example/#/room/${invited}`)
  await mailShowing('carl', 'message two')
  expect(mail?.headers.get('auto-submitted')).toBe('auto-generated')
  const told = sink.mailsTo('carl@example.org').filter(({ headers }) => headers.get('message-id')?.includes('.notifications@'))
  expect(new Set(told.map(({ headers }) => headers.get('message-id'))).size).toBe(told.length)
}, 120_000)

test('one click stops the mails, opening the link alone does not (PU-02)', async () => {
  const dora = await registerWithEmail('dora')
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  await dora.join(roomId)
  await alice.sendText(roomId, 'hello dora')
  const mail = await mailShowing('dora', 'hello dora')
  expect(mail?.headers.get('subject')).toBe('[Matrix] You have a message on Matrix from alice...')
  const { pathname, search } = new URL(/<(.*)>/.exec(mail?.headers.get('list-unsubscribe') ?? '')?.[1] ?? '')
  const page = await server.anonymous().exchange('GET', pathname + search)
  expect(page.bytes.toString('utf8')).toContain('dora@example.org')
  expect(await pushersOf(dora)).toHaveLength(1)
  await server
    .anonymous()
    .exchange('POST', pathname + search, { rawBody: 'List-Unsubscribe=One-Click', contentType: 'text/plain' })
  expect(await pushersOf(dora)).toEqual([])
  await server.anonymous().exchange('GET', pathname + search, { expect: 400 })
})

test('mails go only to addresses of the account, and end with them', async () => {
  const emma = await registerWithEmail('emma')
  const pusher = { kind: 'email', app_id: 'm.email', app_display_name: 'E-mail', device_display_name: 'x', lang: 'en', data: {} }
  const set = { ...pusher, pushkey: 'alice@example.org' }
  await emma.fails(400, 'M_THREEPID_NOT_FOUND', 'POST', `${V3}/pushers/set`, { body: set })
  await emma.post(`${V3}/pushers/set`, { ...pusher, pushkey: 'emma@example.org', data: { brand: 'Chat' } })
  expect(await pushersOf(emma)).toMatchObject([{ data: { brand: 'Chat' } }])
  await emma.post(`${V3}/account/3pid/delete`, { medium: 'email', address: 'emma@example.org' })
  expect(await pushersOf(emma)).toEqual([])
})
