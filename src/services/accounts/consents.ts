import { createHmac, timingSafeEqual } from 'node:crypto'
import { MatrixError } from '../../protocol/errors.ts'
import { localpartOf, makeUserId, parseUserId, serverNameOf } from '../../protocol/ids.ts'
import type { ServerName, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { updateConsent } from '../../storage/tables/admission.ts'
import { formatNamed } from '../../templates/template-filters.ts'
import type { TemplateRenderer } from '../../templates/template-renderer.ts'
import type { Clock } from '../../util/clock.ts'
import type { Standings } from './standings.ts'

const VERSION = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/
const USER_CHARS_MAX = 255
/** Accounts that belong to no person. */
const EXEMPT_TYPES = new Set(['support', 'bot'])

export interface ConsentOptions {
  /** The version in force (option `user_consent.version`); undefined where there is no policy. */
  readonly version: string | undefined
  /** Option `user_consent.block_events_error`: who has not agreed sends nothing. */
  readonly blockMessage: string | undefined
  /** Signs links; undefined where there is no secret. */
  readonly secret: string | undefined
  readonly publicBaseUrl: string
  readonly serverName: ServerName
}

/** Has people agree to the policy, and remembers who has. Source: Synapse docs/consent_tracking.md. */
export class Consents {
  readonly #database: Database
  readonly #clock: Clock
  readonly #standings: Standings
  readonly #templates: TemplateRenderer | undefined
  readonly #options: ConsentOptions

  constructor(deps: {
    database: Database
    clock: Clock
    standings: Standings
    /** Of `user_consent.template_dir`. */
    templates: TemplateRenderer | undefined
    options: ConsentOptions
  }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#standings = deps.standings
    this.#templates = deps.templates
    this.#options = deps.options
  }

  /** Whether people who have not agreed may send nothing. */
  get isBlocking(): boolean {
    return this.#options.version !== undefined && this.#options.blockMessage !== undefined
  }

  /** Throws M_CONSENT_NOT_GIVEN with the address of the policy for who has not agreed to it. */
  async assertGiven(userId: UserId): Promise<void> {
    const { version, blockMessage, secret } = this.#options
    if (version === undefined || blockMessage === undefined || secret === undefined) return
    const standing = await this.#standings.get(userId)
    if (!standing || standing.consentVersion === version || standing.appserviceId !== null) return
    if (standing.userType !== null && EXEMPT_TYPES.has(standing.userType)) return
    const user = localpartOf(userId)
    const query = new URLSearchParams({ u: user, h: this.#sign(user, secret) })
    const consentUri = `${this.#options.publicBaseUrl}_matrix/consent?${query.toString()}`
    const message = formatNamed(blockMessage, { consent_uri: consentUri })
    throw new MatrixError('M_CONSENT_NOT_GIVEN', message, { extra: { consent_uri: consentUri } })
  }

  /** Shows a policy; with a user who is known by the link's signature, the button to agree. Throws M_NOT_FOUND, M_FORBIDDEN. */
  async show(asked: { version?: string; user?: string; signature?: string }, languages: readonly string[]): Promise<string> {
    const version = asked.version ?? this.#options.version
    const user = asked.user === undefined || asked.user === '' ? undefined : asked.user
    let hasConsented = false
    if (user !== undefined) {
      const standing = await this.#standings.get(this.#verify(user, asked.signature ?? ''))
      if (!standing) throw new MatrixError('M_NOT_FOUND', 'Unknown user')
      hasConsented = standing.consentVersion === version
    }
    if (version === undefined || !VERSION.test(version)) throw new MatrixError('M_NOT_FOUND', 'Unknown policy version')
    return this.#render(`${version}.html`, languages, {
      user: user ?? '',
      userhmac: user === undefined ? '' : asked.signature,
      version,
      has_consented: hasConsented,
      public_version: user === undefined,
    })
  }

  /** Notes that the user of a signed link agrees. Returns the page that says so. Throws M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. */
  async agree(given: { version: string; user: string; signature: string }, languages: readonly string[]): Promise<string> {
    if (!VERSION.test(given.version)) throw new MatrixError('M_INVALID_PARAM', 'This is no version of a policy')
    const userId = this.#verify(given.user, given.signature)
    if (!(await this.record(userId, given.version))) throw new MatrixError('M_NOT_FOUND', 'Unknown user')
    return this.#render('success.html', languages, { version: given.version })
  }

  /** Notes that a user has agreed. Returns whether there is such a user. */
  async record(userId: UserId, version: string): Promise<boolean> {
    const isKnown = await updateConsent(this.#database, userId, version, this.#clock.nowMs())
    await this.#standings.changed(userId)
    return isKnown
  }

  #verify(user: string, signature: string): UserId {
    const { secret, serverName } = this.#options
    const wanted = secret === undefined ? undefined : Buffer.from(this.#sign(user, secret))
    const given = Buffer.from(signature)
    if (!wanted || user.length > USER_CHARS_MAX || given.length !== wanted.length || !timingSafeEqual(given, wanted))
      throw new MatrixError('M_FORBIDDEN', 'The signature of the link is wrong')
    const userId = user.startsWith('@') ? parseUserId(user) : makeUserId(user, serverName)
    if (serverNameOf(userId) !== serverName) throw new MatrixError('M_NOT_FOUND', 'Unknown user')
    return userId
  }

  #sign(user: string, secret: string): string {
    return createHmac('sha256', secret).update(user).digest('hex')
  }

  async #render(name: string, languages: readonly string[], variables: Record<string, unknown>): Promise<string> {
    const templates = this.#templates
    const language = [...languages, 'en'].find((candidate) => templates?.has(`${candidate}/${name}`))
    if (!templates || language === undefined) throw new MatrixError('M_NOT_FOUND', 'There is no such policy')
    return templates.render(`${language}/${name}`, variables)
  }
}
