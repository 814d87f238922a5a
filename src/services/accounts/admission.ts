import type { AccountValidity } from './account-validity.ts'
import type { Consents } from './consents.ts'
import type { Requester } from './requester.ts'
import type { UseLimits } from './use-limits.ts'

/** What a request is for, so far as it decides who may make it. */
export interface AdmittedRequest {
  /** The group of its endpoint. */
  readonly group: string
  readonly operationId: string
  /** Accounts that have ended may do it. */
  readonly isExpiredAllowed: boolean
}

/** Groups of what people use a server for: there limits of use hold. */
const LIMITED_GROUPS: ReadonlySet<string> = new Set(['sync', 'initial_sync', 'sliding_sync', 'events_stream', 'event_sending'])
/** What may be done without agreement to the policy: going. */
const WITHOUT_CONSENT: ReadonlySet<string> = new Set(['leaveRoom', 'forgetRoom'])

/** Decides whether an account, known by its token, may make a request: it has not ended, its owner agrees to the policy, there is room. */
export class Admission {
  readonly #validity: AccountValidity
  readonly #consents: Consents
  readonly #limits: UseLimits

  constructor(deps: { validity: AccountValidity; consents: Consents; limits: UseLimits }) {
    this.#validity = deps.validity
    this.#consents = deps.consents
    this.#limits = deps.limits
  }

  /** Throws ORG_MATRIX_EXPIRED_ACCOUNT, M_RESOURCE_LIMIT_EXCEEDED, M_CONSENT_NOT_GIVEN. Returns nothing where nothing is to be asked. */
  check(requester: Requester, request: AdmittedRequest): Promise<void> | undefined {
    const mayEnd = this.#validity.isEnabled && !request.isExpiredAllowed && requester.appserviceId === undefined
    const isLimited = this.#limits.isActive && LIMITED_GROUPS.has(request.group)
    const needsConsent =
      this.#consents.isBlocking &&
      request.group === 'event_sending' &&
      requester.appserviceId === undefined &&
      !WITHOUT_CONSENT.has(request.operationId)
    if (!mayEnd && !isLimited && !needsConsent) return undefined
    return this.#ask(requester, { mayEnd, isLimited, needsConsent })
  }

  async #ask(requester: Requester, what: { mayEnd: boolean; isLimited: boolean; needsConsent: boolean }): Promise<void> {
    const { userId, appserviceId } = requester
    if (what.mayEnd) await this.#validity.assertValid(userId)
    if (what.isLimited) await this.#limits.check(userId, appserviceId)
    if (what.needsConsent) await this.#consents.assertGiven(userId)
  }
}
