import type { Config } from './config.ts'
import { findTopologyContradictions } from './topology-contradictions.ts'

/** Two options that do not go together; named by the one that an admin would change. */
export interface Contradiction {
  readonly option: string
  readonly what: string
}

/** Finds options that are fine one by one and wrong together. */
export function findContradictions(config: Config): Contradiction[] {
  return [
    ...checkRegistration(config),
    ...checkVerification(config),
    ...checkLifetimes(config),
    ...checkRooms(config),
    ...checkPresence(config),
    ...findTopologyContradictions(config),
  ]
}

function checkRegistration({ registration, limits }: Config): Contradiction[] {
  const found: Contradiction[] = []
  const isVerified =
    registration.registrationRequiresToken || registration.registrationsRequire3pid.length > 0 || limits.enableRegistrationCaptcha
  if (registration.enableRegistration && !isVerified && !registration.enableRegistrationWithoutVerification) {
    found.push({
      option: 'enable_registration',
      what:
        'open registration without any verification invites abuse: set `registration_requires_token: true`, ' +
        'or, if you mean it, `enable_registration_without_verification: true`',
    })
  }
  const isPrivate = registration.autocreateAutoJoinRoomPreset !== 'public_chat'
  if (registration.autocreateAutoJoinRooms && isPrivate && registration.autoJoinMxidLocalpart === undefined) {
    found.push({
      option: 'autocreate_auto_join_room_preset',
      what: 'private rooms need `auto_join_mxid_localpart`: somebody has to invite',
    })
  }
  return found
}

/** What can not be verified must not be asked for. */
function checkVerification({ registration, email, limits }: Config): Contradiction[] {
  const { registrationsRequire3pid: required, accountThreepidDelegates, disableMsisdnRegistration } = registration
  const found: Contradiction[] = []
  if (required.includes('email') && email.email.notifFrom === undefined)
    found.push({ option: 'registrations_require_3pid', what: 'verifying e-mail addresses needs `email.notif_from`' })
  if (required.includes('msisdn') && !disableMsisdnRegistration && accountThreepidDelegates.msisdn === undefined)
    found.push({
      option: 'registrations_require_3pid',
      what: 'verifying phone numbers needs `account_threepid_delegates.msisdn`',
    })
  if (email.accountValidity.enabled && email.accountValidity.renewAtMs !== undefined && email.email.notifFrom === undefined)
    found.push({ option: 'account_validity', what: 'sending mails needs `email.notif_from`' })
  const { recaptchaPublicKey, recaptchaPrivateKey } = limits
  if (limits.enableRegistrationCaptcha && (recaptchaPublicKey === undefined || recaptchaPrivateKey === undefined))
    found.push({
      option: 'enable_registration_captcha',
      what: 'it needs `recaptcha_public_key` and `recaptcha_private_key`',
    })
  if (limits.limitUsageByMau && limits.maxMauValue === 0)
    found.push({ option: 'limit_usage_by_mau', what: 'it needs `max_mau_value`' })
  return found
}

function checkLifetimes({ registration }: Config): Contradiction[] {
  const session = registration.sessionLifetimeMs
  if (session === undefined) return []
  const found: Contradiction[] = []
  const lifetimes: readonly [string, number | undefined][] = [
    ['refresh_token_lifetime', registration.refreshTokenLifetimeMs],
    ['nonrefreshable_access_token_lifetime', registration.nonrefreshableAccessTokenLifetimeMs],
  ]
  for (const [option, lifetimeMs] of lifetimes) {
    if (lifetimeMs !== undefined && lifetimeMs > session)
      found.push({ option, what: 'a token cannot live longer than `session_lifetime`' })
  }
  return found
}

function checkRooms({ rooms }: Config): Contradiction[] {
  const { defaultPolicy, allowedLifetimeMinMs, allowedLifetimeMaxMs } = rooms.retention
  const pairs = [
    [defaultPolicy.minLifetimeMs, defaultPolicy.maxLifetimeMs, 'default_policy.min_lifetime', 'max_lifetime'],
    [allowedLifetimeMinMs, allowedLifetimeMaxMs, 'allowed_lifetime_min', 'allowed_lifetime_max'],
  ] as const
  return pairs.flatMap(([min, max, minName, maxName]) =>
    min !== undefined && max !== undefined && min > max
      ? [{ option: 'retention', what: `${minName} cannot be greater than ${maxName}` }]
      : [],
  )
}

function checkPresence({ users }: Config): Contradiction[] {
  const { idleTimeoutMs, lastActiveGranularityMs } = users.presence
  return idleTimeoutMs > lastActiveGranularityMs
    ? []
    : [{ option: 'presence', what: 'idle_timeout must be greater than last_active_granularity' }]
}
