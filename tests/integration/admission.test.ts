import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { UserId } from '../../src/protocol/ids.ts'
import { Database } from '../../src/storage/database.ts'
import { insertThreepids } from '../../src/storage/tables/users.ts'
import { registerAdministrator } from '../kit/administrator.ts'
import type { TestClient } from '../kit/client.ts'
import { mailConfig } from '../kit/mail-config.ts'
import { linkIn, SmtpSink } from '../kit/smtp-sink.ts'
import { TestServer } from '../kit/test-server.ts'

const V3 = '/_matrix/client/v3'

async function makePolicy(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'ganglion-policy-'))
  await mkdir(join(directory, 'en'))
  await writeFile(
    join(directory, 'en', '1.5.html'),
    '{% if public_version %}public{% else %}for {{ user }} {{ "again" if has_consented else "new" }}{% endif %} {{ version }}',
  )
  await writeFile(join(directory, 'en', 'success.html'), 'Thank you')
  return directory
}

/** Answers like reCAPTCHA: the response `human` is right. */
async function serveCaptchas(): Promise<{ url: string; close(): void }> {
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      const form = new URLSearchParams(body)
      const success = form.get('secret') === 'private' && form.get('response') === 'human'
      response.end(JSON.stringify({ success }))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/verify`, close: () => server.close() }
}

test('who has not agreed to the policy sends nothing, and agrees by a signed link (AU-20)', async () => {
  await using server = await TestServer.start({
    config: {
      form_secret: 'signs',
      user_consent: { version: '1.5', template_dir: await makePolicy(), block_events_error: 'Agree at %(consent_uri)s' },
    },
  })
  const alice = await server.register('alice')
  const refused = await alice.fails(403, 'M_CONSENT_NOT_GIVEN', 'POST', `${V3}/createRoom`, { body: {} })
  const { pathname, search, searchParams } = new URL(String(refused['consent_uri']))
  expect(refused.error).toBe(`Agree at ${String(refused['consent_uri'])}`)
  await alice.sync()

  const anyone = server.anonymous()
  const read = async (path: string, expect: number = 200): Promise<string> =>
    (await anyone.exchange('GET', path, { expect })).bytes.toString('utf8')
  expect(await read('/_matrix/consent')).toBe('public 1.5')
  expect(await read(pathname + search)).toBe('for alice new 1.5')
  await read(`${pathname}?u=alice&h=${'0'.repeat(64)}`, 403)
  await read(`${pathname}?v=../../secret`, 404)
  const form = (h: string): { rawBody: string; contentType: string } => ({
    rawBody: new URLSearchParams({ v: '1.5', u: 'alice', h }).toString(),
    contentType: 'application/x-www-form-urlencoded',
  })
  await anyone.exchange('POST', pathname, { ...form('wrong'), expect: 403 })
  const thanks = await anyone.exchange('POST', pathname, form(searchParams.get('h') ?? ''))
  expect(thanks.bytes.toString('utf8')).toBe('Thank you')
  expect(await read(pathname + search)).toBe('for alice again 1.5')
  await alice.createRoom()
})

test('who agrees at registration has agreed; a captcha keeps programs out (AU-01)', async () => {
  const captchas = await serveCaptchas()
  await using server = await TestServer.start({
    config: {
      form_secret: 'signs',
      user_consent: {
        version: '1.5',
        template_dir: await makePolicy(),
        require_at_registration: true,
        block_events_error: 'Agree first',
      },
      enable_registration_captcha: true,
      recaptcha_public_key: 'public',
      recaptcha_private_key: 'private',
      recaptcha_siteverify_api: captchas.url,
      rc_registration_token_validity: { per_second: 9999, burst_count: 9999 },
    },
  })
  const client = server.anonymous()
  const ask = (
    auth?: object,
  ): Promise<{ session: string; flows: unknown; params: object; errcode?: string; completed?: string[] }> =>
    client.request('POST', `${V3}/register`, { body: { username: 'anna', password: 'x', auth }, expect: 401 })
  const { session, flows, params } = await ask()
  expect(flows).toEqual([{ stages: ['m.login.recaptcha', 'm.login.terms', 'm.login.dummy'] }])
  expect(params).toMatchObject({ 'm.login.recaptcha': { public_key: 'public' } })
  expect(await ask({ type: 'm.login.recaptcha', session })).toMatchObject({ errcode: 'M_CAPTCHA_NEEDED' })
  expect(await ask({ type: 'm.login.recaptcha', session, response: 'robot' })).toMatchObject({ errcode: 'M_CAPTCHA_INVALID' })
  // A client that does not know captchas has them done in a browser.
  const page = `${V3}/auth/m.login.recaptcha/fallback/web`
  const shown = await client.exchange('GET', `${page}?session=${session}`)
  expect(shown.bytes.toString('utf8')).toContain('data-sitekey="public"')
  const submit = async (path: string, fields: Record<string, string>): Promise<string> => {
    const form = { rawBody: new URLSearchParams(fields).toString(), contentType: 'application/x-www-form-urlencoded' }
    return (await client.exchange('POST', path, form)).bytes.toString('utf8')
  }
  expect(await submit(page, { session, 'g-recaptcha-response': 'robot' })).toContain('Captcha authentication failed')
  expect(await submit(page, { session: 'none', 'g-recaptcha-response': 'human' })).toContain('This session has ended')
  expect(await submit(page, { session, 'g-recaptcha-response': 'human' })).toContain('onAuthDone')
  expect((await ask({ session })).completed).toEqual(['m.login.recaptcha'])
  expect(await submit(`${V3}/auth/m.login.terms/fallback/web`, { session })).toContain('onAuthDone')
  const auth = { type: 'm.login.dummy', session }
  await client.request('POST', `${V3}/register`, { body: { username: 'anna', password: 'x', auth } })
  await (await client.login('anna', 'x')).createRoom()
  captchas.close()
})

test('only so many people are active in a month, but who is counted or reserved goes on; a closed server refuses all (AU-21)', async () => {
  await using server = await TestServer.start({
    config: {
      limit_usage_by_mau: true,
      max_mau_value: 2,
      mau_limit_reserved_threepids: [{ medium: 'email', address: 'root@example.org' }],
      admin_contact: 'mailto:admin@test.example',
    },
  })
  const active: TestClient[] = []
  for (const name of ['alice', 'bob']) {
    const client = await server.register(name)
    await client.sync()
    active.push(client)
  }
  const body = { username: 'carl', password: 'x', auth: { type: 'm.login.dummy' } }
  const refused = await server.anonymous().fails(403, 'M_RESOURCE_LIMIT_EXCEEDED', 'POST', `${V3}/register`, { body })
  expect(refused).toMatchObject({ limit_type: 'monthly_active_user', admin_contact: 'mailto:admin@test.example' })
  await expect(registerAdministrator(server)).rejects.toThrow('M_RESOURCE_LIMIT_EXCEEDED')
  const database = new Database({ ...server.databaseOptions, max: 2 }, { onError: () => undefined })
  const address = { medium: 'email', address: 'root@example.org', validatedTsMs: 1 }
  await insertThreepids(database, '@root:test.example' as UserId, [address], 1)
  await database.close()
  await (await server.anonymous().login('root', 'secret of root')).sync()
  for (const client of active) await client.createRoom()

  await server.restart({ config: { limit_usage_by_mau: false, hs_disabled: true, hs_disabled_message: 'Closed for repairs' } })
  const closed = await active[0]?.fails(403, 'M_RESOURCE_LIMIT_EXCEEDED', 'GET', `${V3}/sync`)
  expect(closed).toMatchObject({ error: 'Closed for repairs', limit_type: 'hs_disabled' })
})

test('an account ends unless it is renewed, by the administrator or by the link of a mail (AU-19)', async () => {
  await using sink = await SmtpSink.start()
  await using server = await TestServer.start({
    config: {
      ...mailConfig(sink),
      account_validity: { enabled: true, period: '1w', renew_at: '1d' },
      request_token_inhibit_3pid_errors: true,
    },
  })
  const request = { client_secret: 'secret', send_attempt: 1, email: 'alice@example.org' }
  const anyone = server.anonymous()
  const { sid } = await anyone.post<{ sid: string }>(`${V3}/register/email/requestToken`, request)
  await anyone.exchange('GET', linkIn((await sink.waitFor('alice@example.org'))[0]))
  const auth = { type: 'm.login.email.identity', threepid_creds: { sid, client_secret: 'secret' } }
  await anyone.request('POST', `${V3}/register`, { body: { username: 'alice', password: 'x', auth } })
  const alice = await anyone.login('alice', 'x')
  const admin = await registerAdministrator(server)
  await alice.get(`${V3}/account/whoami`)

  const validity = '/_synapse/admin/v1/account_validity/validity'
  expect(await admin.post(validity, { user_id: alice.userId, expiration_ts: 1000 })).toEqual({ expiration_ts: 1000 })
  await alice.fails(403, 'ORG_MATRIX_EXPIRED_ACCOUNT', 'GET', `${V3}/account/whoami`)
  await alice.post('/_matrix/client/unstable/account_validity/send_mail')
  const link = linkIn((await sink.waitFor('alice@example.org', 2))[1])
  const page = async (path: string, expect: number): Promise<string> =>
    (await anyone.exchange('GET', path, { expect })).bytes.toString('utf8')
  expect(await page(link, 200)).toContain('Your account is renewed')
  await alice.get(`${V3}/account/whoami`)
  expect(await page(link, 200)).toContain('renewed before')
  expect(await page(link.replace(/token=.*/, 'token=x'), 404)).toContain('not valid')
  // Nobody learns who has an account here: only the owner is told.
  expect((await anyone.post<{ sid: string }>(`${V3}/register/email/requestToken`, request)).sid).not.toBe(sid)
  expect((await sink.waitFor('alice@example.org', 3))[2]?.headers.get('subject')).toContain('already in use')
  const unknown = { ...request, email: 'nobody@example.org' }
  expect(await anyone.post(`${V3}/account/password/email/requestToken`, unknown)).toHaveProperty('sid')
  await admin.fails(404, 'M_NOT_FOUND', 'POST', validity, { body: { user_id: '@nobody:test.example' } })
})
