import type { AddressInfo } from 'node:net'
import { SMTPServer } from 'smtp-server'
import type { SMTPServerOptions } from 'smtp-server'
import { eventually } from '../clients/eventually.ts'

/** A mail as the mail server got it. */
export interface ReceivedMail {
  readonly from: string
  readonly to: readonly string[]
  /** Unfolded, names in small letters. */
  readonly headers: ReadonlyMap<string, string>
  readonly text: string
  readonly html: string
  readonly isSecure: boolean
  readonly user: string | undefined
}

/** A mail server in the test's process, which keeps what it gets. */
export class SmtpSink implements AsyncDisposable {
  readonly received: ReceivedMail[] = []
  /** While set, mails are refused. */
  isBroken = false
  /** Mails that were refused. */
  refused = 0
  readonly #server: SMTPServer

  private constructor(options: SMTPServerOptions) {
    this.#server = new SMTPServer({
      authOptional: true,
      disabledCommands: options.key === undefined ? ['STARTTLS'] : [],
      onAuth: ({ username, password }, _session, done) =>
        password === 'right' ? done(null, { user: username }) : done(new Error('Wrong password')),
      onData: (stream, session, done) => {
        const chunks: Buffer[] = []
        stream.on('data', (chunk: Buffer) => chunks.push(chunk))
        stream.on('end', () => {
          if (this.isBroken) {
            this.refused++
            done(new Error('The disk is full'))
            return
          }
          const { mailFrom, rcptTo } = session.envelope
          this.received.push({
            ...parseMail(Buffer.concat(chunks).toString('utf8')),
            from: mailFrom === false ? '' : mailFrom.address,
            to: rcptTo.map(({ address }) => address),
            isSecure: session.secure,
            user: session.user,
          })
          done()
        })
      },
      ...options,
    })
    this.#server.on('error', () => undefined)
  }

  static async start(options: SMTPServerOptions = {}): Promise<SmtpSink> {
    const sink = new SmtpSink(options)
    await new Promise<void>((resolve) => void sink.#server.listen(0, '127.0.0.1', resolve))
    return sink
  }

  get port(): number {
    return (this.#server.server.address() as AddressInfo).port
  }

  /** Waits for so many mails to an address, and returns them. */
  async waitFor(to: string, count = 1): Promise<readonly ReceivedMail[]> {
    await eventually(`${count} mails to ${to}`, () => this.mailsTo(to).length >= count, 30_000)
    return this.mailsTo(to)
  }

  mailsTo(to: string): readonly ReceivedMail[] {
    return this.received.filter((mail) => mail.to.includes(to))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }
}

function parseMail(source: string): Pick<ReceivedMail, 'headers' | 'text' | 'html'> {
  const { headers, body } = splitHead(source)
  const boundary = /boundary="?([^";]+)/.exec(headers.get('content-type') ?? '')?.[1] ?? '-'
  const parts = body.split(`--${boundary}`).map((part) => splitHead(part.replace(/^\r\n/, '')))
  const find = (type: string): string => {
    const part = parts.find((one) => one.headers.get('content-type')?.startsWith(type) === true)
    return part ? decodeBody(part.body, part.headers.get('content-transfer-encoding')) : ''
  }
  return { headers, text: find('text/plain'), html: find('text/html') }
}

function splitHead(source: string): { headers: Map<string, string>; body: string } {
  const end = source.indexOf('\r\n\r\n')
  const lines = source
    .slice(0, end === -1 ? 0 : end)
    .replaceAll(/\r\n[ \t]+/g, ' ')
    .split('\r\n')
  const headers = new Map(
    lines.map((line) => [line.split(':', 1)[0]?.toLowerCase() ?? '', line.slice(line.indexOf(':') + 1).trim()]),
  )
  return { headers, body: source.slice(end + 4) }
}

function decodeBody(body: string, encoding: string | undefined): string {
  if (encoding === 'base64') return Buffer.from(body, 'base64').toString('utf8')
  if (encoding !== 'quoted-printable') return body
  const bytes = body
    .replaceAll(/=\r\n/g, '')
    .replaceAll(/=([0-9A-F]{2})/g, (_whole, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1').toString('utf8')
}

/** The first link in a mail, as a path of the server. */
export function linkIn(mail: ReceivedMail | undefined): string {
  const link = /https?:\/\/[^\s"<>]+/.exec(mail?.text ?? '')?.[0]
  if (link === undefined) throw new Error(`There is no link in the mail: ${mail?.text}`)
  const { pathname, search } = new URL(link)
  return pathname + search
}
