import type { EmailConfig } from '../../config/email.ts'
import type { ThreepidPurpose } from '../../storage/tables/threepid-sessions.ts'
import type { Mail, MailSender } from '../mail/mail-sender.ts'

/** Where the links of mails lead, after `public_baseurl`. The same as Synapse's. */
export const SUBMIT_PATHS = {
  registration: '_matrix/client/unstable/registration/email/submit_token',
  password_reset: '_synapse/client/password_reset/email/submit_token',
  add_threepid: '_matrix/client/unstable/add_threepid/email/submit_token',
} as const satisfies Record<ThreepidPurpose, string>

/** Writes the mails by which people prove that an address is theirs. */
export class VerificationMails {
  readonly #sender: MailSender
  readonly #options: EmailConfig['email']
  readonly #publicBaseUrl: string

  constructor(deps: { sender: MailSender; options: EmailConfig['email']; publicBaseUrl: string }) {
    this.#sender = deps.sender
    this.#options = deps.options
    this.#publicBaseUrl = deps.publicBaseUrl
  }

  /** Whether this server sends mails. */
  get isEnabled(): boolean {
    return this.#sender.isEnabled
  }

  /** Sends the link that proves an address. Throws MailError. */
  async sendLink(purpose: ThreepidPurpose, to: string, parameters: Readonly<Record<string, string>>): Promise<void> {
    const link = `${this.#publicBaseUrl}${SUBMIT_PATHS[purpose]}?${new URLSearchParams(parameters).toString()}`
    await this.#sender.send({ to, ...this.#formOf(purpose), variables: { link } })
  }

  /** Tells the owner of an address that somebody tried to make an account with it. Throws MailError. */
  async sendAlreadyInUse(to: string): Promise<void> {
    const { subjects, alreadyInUseTemplateHtml: htmlTemplate, alreadyInUseTemplateText: textTemplate } = this.#options
    await this.#sender.send({ to, subject: subjects.emailAlreadyInUse, htmlTemplate, textTemplate, variables: {} })
  }

  #formOf(purpose: ThreepidPurpose): Pick<Mail, 'subject' | 'htmlTemplate' | 'textTemplate'> {
    const { subjects, ...options } = this.#options
    switch (purpose) {
      case 'registration':
        return {
          subject: subjects.emailValidation,
          htmlTemplate: options.registrationTemplateHtml,
          textTemplate: options.registrationTemplateText,
        }
      case 'password_reset':
        return {
          subject: subjects.passwordReset,
          htmlTemplate: options.passwordResetTemplateHtml,
          textTemplate: options.passwordResetTemplateText,
        }
      case 'add_threepid':
        return {
          subject: subjects.emailValidation,
          htmlTemplate: options.addThreepidTemplateHtml,
          textTemplate: options.addThreepidTemplateText,
        }
    }
  }
}
