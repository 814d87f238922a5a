import { expect, test } from 'vitest'
import { parseConfig } from '../../src/config/config.ts'
import { MailSender } from '../../src/services/mail/mail-sender.ts'
import { TemplateRenderer } from '../../src/templates/template-renderer.ts'
import { SmtpSink } from '../kit/smtp-sink.ts'
import { testAuthority } from '../kit/test-authority.ts'
import { TestLogger } from '../kit/test-logger.ts'

function senderFor(sink: SmtpSink, email: Readonly<Record<string, unknown>>): MailSender & AsyncDisposable {
  const options = { smtp_host: '127.0.0.1', smtp_port: sink.port, notif_from: '%(app)s <server@hs.example>', ...email }
  const sender = new MailSender({
    options: parseConfig({ email: options }).email.email,
    templates: new TemplateRenderer({ directories: [], publicBaseUrl: 'https://hs.example/', common: { server_name: 'hs' } }),
    serverName: 'hs',
    logger: new TestLogger(),
  })
  return Object.assign(sender, { [Symbol.asyncDispose]: () => sender.close() })
}

const MAIL = {
  to: 'alice@example.org',
  subject: '[%(server_name)s] Grüße from %(app)s\r\nBcc: eve@example.org',
  htmlTemplate: 'registration.html',
  textTemplate: 'registration.txt',
  variables: { link: 'https://hs.example/?a=1&b=<2>' },
}

test('a mail has both forms, names its sender and answers no machine (AU-17)', async () => {
  await using sink = await SmtpSink.start()
  await using sender = senderFor(sink, { app_name: 'Chat', smtp_user: 'server', smtp_pass: 'right' })
  await sender.send({ ...MAIL, unsubscribeUrl: 'https://hs.example/stop', messageId: '<one@hs.example>' })
  const [mail] = await sink.waitFor('alice@example.org')
  expect(mail).toMatchObject({ from: 'server@hs.example', to: ['alice@example.org'], user: 'server' })
  expect(Object.fromEntries(mail?.headers ?? [])).toMatchObject({
    from: 'Chat <server@hs.example>',
    to: 'alice@example.org',
    'message-id': '<one@hs.example>',
    'auto-submitted': 'auto-generated',
    'list-unsubscribe': '<https://hs.example/stop>',
    'list-unsubscribe-post': 'List-Unsubscribe=One-Click',
  })
  expect(mail?.headers.has('bcc')).toBe(false)
  expect(mail?.text).toContain('https://hs.example/?a=1&b=<2>')
  expect(mail?.html).toContain('href="https://hs.example/?a=1&amp;b=&lt;2&gt;"')
})

test('with force_tls the certificate must be valid for the host', async () => {
  const { localhost } = await testAuthority()
  await using sink = await SmtpSink.start({ secure: true, key: localhost.key, cert: localhost.cert })
  await using sender = senderFor(sink, { force_tls: true })
  await expect(sender.send(MAIL)).rejects.toMatchObject({
    name: 'MailError',
    cause: { message: expect.stringMatching(/certificate|signed/) as unknown },
  })
  expect(sink.received).toEqual([])
})

test('with require_transport_security nothing is sent in the clear, and a wrong password is an error', async () => {
  await using sink = await SmtpSink.start()
  await using strict = senderFor(sink, { require_transport_security: true })
  await expect(strict.send(MAIL)).rejects.toThrow('did not take the mail')
  await using wrong = senderFor(sink, { smtp_user: 'server', smtp_pass: 'wrong' })
  await expect(wrong.send(MAIL)).rejects.toThrow('did not take the mail')
  expect(sink.received).toEqual([])
})
