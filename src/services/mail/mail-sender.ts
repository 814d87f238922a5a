import { isIP } from 'node:net'
import type { Transporter } from 'nodemailer'
import type { EmailConfig } from '../../config/email.ts'
import { formatNamed } from '../../templates/template-filters.ts'
import type { TemplateRenderer, TemplateVariables } from '../../templates/template-renderer.ts'
import type { Logger } from '../../util/logger.ts'

const PORT = 25
const TLS_PORT = 465
const TIMEOUT_MS = 30_000
/** Mails that are sent at once; further ones wait. */
const CONNECTIONS_MAX = 3
const SUBJECT_CHARS_MAX = 500

/** A mail server did not take a mail. */
export class MailError extends Error {
  override readonly name = 'MailError'
}

/** A mail: two templates with what they are given. */
export interface Mail {
  readonly to: string
  /** `%(app)s` and `%(server_name)s` are replaced. */
  readonly subject: string
  readonly htmlTemplate: string
  readonly textTemplate: string
  readonly variables: TemplateVariables
  /** What `%(app)s` stands for; by default the option `app_name`. */
  readonly appName?: string | undefined
  /** Where the reader may stop mails of this kind: RFC 2369 and RFC 8058. */
  readonly unsubscribeUrl?: string | undefined
  /** The same for the same mail, so that one that was sent twice is known as such. */
  readonly messageId?: string | undefined
}

/**
 * Sends mails by SMTP, as the options `email.*` say. Without `notif_from` there are none. The library is loaded for the first mail.
 * Source: Synapse's docs, config manual § email.
 */
export class MailSender {
  readonly #options: EmailConfig['email']
  readonly #templates: TemplateRenderer
  readonly #serverName: string
  readonly #logger: Logger
  #transport: Promise<Transporter> | undefined

  constructor(deps: { options: EmailConfig['email']; templates: TemplateRenderer; serverName: string; logger: Logger }) {
    this.#options = deps.options
    this.#templates = deps.templates
    this.#serverName = deps.serverName
    this.#logger = deps.logger
  }

  /** Whether this server sends mails. */
  get isEnabled(): boolean {
    return this.#options.notifFrom !== undefined
  }

  /** Sends a mail; settles when the mail server has taken it. Throws MailError. */
  async send(mail: Mail): Promise<void> {
    const { notifFrom } = this.#options
    if (notifFrom === undefined) throw new MailError('This server sends no mails: `email.notif_from` is not set')
    const app = mail.appName ?? this.#options.appName
    const names = { app, server_name: this.#serverName }
    const variables = { ...mail.variables, app_name: app }
    const [html, text] = await Promise.all([
      this.#templates.render(mail.htmlTemplate, variables),
      this.#templates.render(mail.textTemplate, variables),
    ])
    const transport = await this.#open()
    try {
      await transport.sendMail({
        from: formatNamed(notifFrom, names),
        // As an object: what a text would be parsed for (lists, groups) can not occur.
        to: { name: '', address: mail.to },
        subject: oneLine(formatNamed(mail.subject, names)),
        html,
        text,
        headers: {
          'Auto-Submitted': 'auto-generated',
          'X-Auto-Response-Suppress': 'All',
          ...(mail.unsubscribeUrl === undefined
            ? {}
            : {
                'List-Unsubscribe': { prepared: true, value: `<${mail.unsubscribeUrl}>` },
                'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click',
              }),
        },
        ...(mail.messageId === undefined ? {} : { messageId: mail.messageId }),
        disableFileAccess: true,
        disableUrlAccess: true,
      })
    } catch (cause) {
      this.#logger.warn('a mail could not be sent', { error: cause })
      throw new MailError('The mail server did not take the mail', { cause })
    }
  }

  #open(): Promise<Transporter> {
    this.#transport ??= import('nodemailer').then(({ createTransport }) => createTransport(this.#transportOptions()))
    return this.#transport
  }

  #transportOptions() {
    const { smtpHost, smtpPort, smtpUser, smtpPass, forceTls, requireTransportSecurity, enableTls, tlsname } = this.#options
    return {
      pool: true,
      maxConnections: CONNECTIONS_MAX,
      host: smtpHost,
      port: smtpPort ?? (forceTls ? TLS_PORT : PORT),
      secure: forceTls,
      ignoreTLS: !enableTls,
      requireTLS: requireTransportSecurity,
      // No name for a bare address: RFC 6066 wants none.
      ...(isIP(tlsname ?? smtpHost) === 0 ? { tls: { servername: tlsname ?? smtpHost } } : {}),
      ...(smtpUser === undefined ? {} : { auth: { user: smtpUser, pass: smtpPass ?? '' } }),
      connectionTimeout: TIMEOUT_MS,
      greetingTimeout: TIMEOUT_MS,
      socketTimeout: TIMEOUT_MS,
      disableFileAccess: true,
      disableUrlAccess: true,
    } as const
  }

  /** Ends the connections. */
  async close(): Promise<void> {
    const transport = await this.#transport
    transport?.close()
  }
}

function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ').slice(0, SUBJECT_CHARS_MAX)
}
