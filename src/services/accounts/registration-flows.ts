import { MatrixError } from '../../protocol/errors.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Flow, StageCheck } from './interactive-auth.ts'
import { EMAIL_STAGE, MSISDN_STAGE } from './threepid-validation.ts'
import type { ThreepidValidation } from './threepid-validation.ts'

export const REGISTRATION_TOKEN_STAGE = 'm.login.registration_token'
export const DUMMY_STAGE = 'm.login.dummy'
export const TERMS_STAGE = 'm.login.terms'
export const RECAPTCHA_STAGE = 'm.login.recaptcha'

/** What people must agree to. */
export interface Policy {
  readonly version: string
  readonly name: string
  readonly url: string
}

export interface RegistrationFlowOptions {
  readonly requiresToken: boolean
  /** Option `enable_registration_token_3pid_bypass`. */
  readonly tokenBypassesThreepids: boolean
  /** What people must agree to (option `user_consent.require_at_registration`). */
  readonly policy: Policy | undefined
  /** Option `registrations_require_3pid`. */
  readonly requiredMedia: readonly string[]
  /** Option `disable_msisdn_registration`. */
  readonly isMsisdnDisabled: boolean
  /** The site key, where a captcha is needed. */
  readonly recaptchaKey: string | undefined
}

/** Checks what a captcha says. Throws M_CAPTCHA_NEEDED, M_CAPTCHA_INVALID. */
export interface CaptchaVerifier {
  verify(response: unknown): Promise<void>
}

/** The ways to make an account, and what each of their stages wants. Spec: client-server-api § User-Interactive Authentication API. */
export class RegistrationFlows {
  readonly flows: readonly Flow[]
  readonly params: JsonObject
  readonly checks: Readonly<Record<string, StageCheck>>

  constructor(deps: {
    options: RegistrationFlowOptions
    validation: ThreepidValidation
    captchas: CaptchaVerifier | undefined
    checkToken: StageCheck
  }) {
    const { options, captchas } = deps
    const { policy, recaptchaKey } = options
    this.flows = flowsOf(options, deps.validation.verifies)
    this.params = {
      ...(policy && { [TERMS_STAGE]: termsParams(policy) }),
      ...(recaptchaKey === undefined ? {} : { [RECAPTCHA_STAGE]: { public_key: recaptchaKey } }),
    }
    this.checks = {
      ...deps.validation.stages('registration'),
      [DUMMY_STAGE]: () => Promise.resolve(true),
      [REGISTRATION_TOKEN_STAGE]: deps.checkToken,
      // Submitting the stage is the agreement.
      ...(policy && { [TERMS_STAGE]: () => Promise.resolve(policy.version) }),
      ...(captchas && {
        [RECAPTCHA_STAGE]: async (auth: JsonObject) => {
          await captchas.verify(auth['response'])
          return true
        },
      }),
    }
  }
}

/** The same order as Synapse's: clients show the stages in it. */
function flowsOf(options: RegistrationFlowOptions, verifies: ThreepidValidation['verifies']): Flow[] {
  const { requiresToken, policy, requiredMedia, recaptchaKey } = options
  const hasPhone = verifies.msisdn && !options.isMsisdnDisabled
  const needsEmail = requiredMedia.includes('email')
  const needsPhone = requiredMedia.includes('msisdn') && !options.isMsisdnDisabled
  const first = [
    ...(requiresToken ? [REGISTRATION_TOKEN_STAGE] : []),
    ...(recaptchaKey === undefined ? [] : [RECAPTCHA_STAGE]),
    ...(policy ? [TERMS_STAGE] : []),
  ]
  const addresses: Flow[] = [
    // With a stage of its own, so that who agrees to the terms first does not have an account before it is wanted.
    ...(needsEmail || needsPhone ? [] : [requiresToken ? [] : [DUMMY_STAGE]]),
    ...(verifies.email && !needsPhone ? [[EMAIL_STAGE]] : []),
    ...(hasPhone && !needsEmail ? [[MSISDN_STAGE]] : []),
    ...(verifies.email && hasPhone ? [[MSISDN_STAGE, EMAIL_STAGE]] : []),
  ]
  const flows = addresses.map((stages) => [...first, ...stages])
  return requiresToken && options.tokenBypassesThreepids ? [...flows, [REGISTRATION_TOKEN_STAGE]] : flows
}

/** Spec: client-server-api § Terms of service at registration. */
function termsParams({ version, name, url }: Policy): JsonObject {
  return { policies: { privacy_policy: { version, en: { name, url } } } }
}

/** Refuses where nothing that can be verified here would do: registration is closed then. Throws M_FORBIDDEN. */
export function assertAnyFlow(flows: readonly Flow[]): void {
  if (flows.length === 0) throw new MatrixError('M_FORBIDDEN', 'Registration has been disabled')
}
