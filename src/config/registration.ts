import { LinearRegExp, PatternError } from '../util/linear-regexp.ts'
import {
  checked,
  choice,
  duration,
  flag,
  group,
  groupList,
  integer,
  optionalDuration,
  optionalText,
  optionalTextList,
  plainObject,
  secret,
  section,
  text,
  textList,
  withDefault,
} from './option.ts'
import type { Option, Values } from './option.ts'
import { findUrlFault } from './server.ts'

const BCRYPT_ROUNDS_MIN = 4
const BCRYPT_ROUNDS_MAX = 31
const ROOM_ALIAS = /^#[^:]+:[0-9A-Za-z.:[\]-]+$/

const passwordsEnabled: Option<boolean | 'only_for_reauth'> = withDefault<boolean | 'only_for_reauth', boolean>(
  {
    name: 'enabled',
    type: 'boolean or only_for_reauth',
    parse: ({ value }) =>
      typeof value === 'boolean' || value === 'only_for_reauth' ? { ok: value } : { expected: 'true, false or only_for_reauth' },
    doc: 'Whether people log in with passwords; `only_for_reauth` keeps passwords for confirming dangerous actions.',
    defaultText: 'true',
  },
  true,
)

const policyVersion: Option<string | undefined> = withDefault<string, undefined>(
  {
    name: 'version',
    type: 'string or number',
    parse: ({ value }) =>
      typeof value === 'string' || typeof value === 'number' ? { ok: String(value) } : { expected: 'a text or a number' },
    doc: 'Version of the policy; it stands in the address of the policy.',
    defaultText: 'none',
  },
  undefined,
)

function findPatternFault(pattern: string): string | undefined {
  try {
    new LinearRegExp(pattern).matchesStart('')
    return undefined
  } catch (error) {
    if (error instanceof PatternError) return error.message
    throw error
  }
}

/** Who gets an account, and how long a login lasts. */
export const registrationOptions = section('Registration and login', {
  enableRegistration: flag('enable_registration', false, 'Lets people make accounts.'),
  enableRegistrationWithoutVerification: flag(
    'enable_registration_without_verification',
    false,
    'Allows `enable_registration` without e-mail, captcha or token: open to everyone, spammers included.',
  ),
  registrationRequiresToken: flag('registration_requires_token', false, 'Making an account needs a registration token.'),
  registrationSharedSecret: secret('registration_shared_secret', 'Whoever knows it can make accounts, administrators included.'),
  bcryptRounds: integer('bcrypt_rounds', 12, 'Cost of a password hash.', { min: BCRYPT_ROUNDS_MIN, max: BCRYPT_ROUNDS_MAX }),
  allowGuestAccess: flag('allow_guest_access', false, 'Lets people look around without an account.'),
  userConsent: group(
    'user_consent',
    {
      version: policyVersion,
      requireAtRegistration: flag(
        'require_at_registration',
        false,
        'Who makes an account must agree to the policy first (the stage `m.login.terms`).',
      ),
      policyName: text('policy_name', 'Privacy Policy', 'Name of the policy, as clients show it.'),
      templateDir: optionalText(
        'template_dir',
        'Folder of the policies: `<language>/<version>.html` and `<language>/success.html`, as Synapse has them.',
      ),
      serverNoticeContent: plainObject('server_notice_content', 'Accepted; there are no server notices yet.'),
      sendServerNoticeToGuests: flag('send_server_notice_to_guests', false, 'Accepted; there are no server notices yet.'),
      blockEventsError: optionalText(
        'block_events_error',
        'Who has not agreed sends nothing, and is told this; `%(consent_uri)s` is replaced by the address of the policy.',
      ),
    },
    'The policy that people agree to. It is shown at `<public_baseurl>/_matrix/consent?v=<version>`, by listeners with the resource consent.',
  ),
  defaultIdentityServer: optionalText('default_identity_server', 'The identity server that clients are told of.'),
  enableSetDisplayname: flag(
    'enable_set_displayname',
    true,
    'Lets people change their display name; the first one can always be set.',
  ),
  enableSetAvatarUrl: flag('enable_set_avatar_url', true, 'Lets people change their avatar; the first one can always be set.'),
  enable3pidChanges: flag('enable_3pid_changes', true, 'Lets people add and remove e-mail addresses and phone numbers.'),
  autoJoinRooms: checked(textList('auto_join_rooms', [], 'Aliases of rooms that new accounts join.'), (aliases) => {
    const bad = aliases.find((alias) => !ROOM_ALIAS.test(alias))
    return bad === undefined ? undefined : `${JSON.stringify(bad)} is not a room alias like #welcome:example.com`
  }),
  autocreateAutoJoinRooms: flag('autocreate_auto_join_rooms', true, 'Makes those rooms when they do not exist yet.'),
  autocreateAutoJoinRoomsFederated: flag(
    'autocreate_auto_join_rooms_federated',
    true,
    'Lets other servers join the rooms made that way.',
  ),
  autocreateAutoJoinRoomPreset: choice(
    'autocreate_auto_join_room_preset',
    ['public_chat', 'private_chat', 'trusted_private_chat'],
    'public_chat',
    'Preset of the rooms made that way; private ones need `auto_join_mxid_localpart`.',
  ),
  autoJoinMxidLocalpart: optionalText(
    'auto_join_mxid_localpart',
    'Localpart of the user who makes those rooms and invites to them.',
  ),
  autoJoinRoomsForGuests: flag('auto_join_rooms_for_guests', true, 'Guests join those rooms too.'),
  inhibitUserInUseError: flag(
    'inhibit_user_in_use_error',
    false,
    'Does not tell whether a user name is taken; the registration fails later.',
  ),
  allowUnderscorePrefixedLocalpart: flag(
    'allow_underscore_prefixed_localpart',
    false,
    'Allows user names that begin with an underscore.',
  ),
  sessionLifetimeMs: optionalDuration('session_lifetime', undefined, 'How long a login lasts; without it for ever.'),
  refreshableAccessTokenLifetimeMs: optionalDuration(
    'refreshable_access_token_lifetime',
    '5m',
    'How long an access token lasts that can be refreshed; null switches refreshing off.',
  ),
  refreshTokenLifetimeMs: optionalDuration('refresh_token_lifetime', undefined, 'How long a refresh token lasts.'),
  nonrefreshableAccessTokenLifetimeMs: optionalDuration(
    'nonrefreshable_access_token_lifetime',
    undefined,
    'How long an access token lasts that cannot be refreshed.',
  ),
  passwordConfig: group(
    'password_config',
    {
      enabled: passwordsEnabled,
      localdbEnabled: flag('localdb_enabled', true, 'Passwords are checked against our own database.'),
      pepper: optionalText('pepper', 'A secret mixed into every password hash. Never change it once accounts exist.'),
      policy: group(
        'policy',
        {
          enabled: flag('enabled', false, 'Checks new passwords.'),
          minimumLength: integer('minimum_length', 0, 'Fewest characters.'),
          requireDigit: flag('require_digit', false, 'Needs a digit.'),
          requireSymbol: flag('require_symbol', false, 'Needs a character that is neither letter nor digit.'),
          requireLowercase: flag('require_lowercase', false, 'Needs a small letter.'),
          requireUppercase: flag('require_uppercase', false, 'Needs a capital letter.'),
        },
        'What a new password must have.',
      ),
    },
    'Passwords.',
  ),
  uiAuth: group(
    'ui_auth',
    {
      sessionTimeoutMs: duration(
        'session_timeout',
        '0s',
        'How long a confirmation (password) counts for further actions of the same session.',
      ),
    },
    'Confirming dangerous actions.',
  ),
  loginViaExistingSession: group(
    'login_via_existing_session',
    {
      enabled: flag('enabled', false, 'Lets a logged-in device ask for a token that logs another one in.'),
      requireUiAuth: flag('require_ui_auth', true, 'That needs the password.'),
      tokenTimeoutMs: duration('token_timeout', '5m', 'How long that token lasts.'),
    },
    'Logging in a further device from a logged-in one.',
  ),
  accountThreepidDelegates: group(
    'account_threepid_delegates',
    {
      msisdn: checked(optionalText('msisdn', 'Base URL of the identity server that sends messages to phones.'), findUrlFault),
    },
    'Who sends our verification messages to phones; without it phone numbers can not be verified.',
  ),
  disableMsisdnRegistration: flag('disable_msisdn_registration', false, 'Never asks for a phone number at registration.'),
  enableRegistrationToken3pidBypass: flag(
    'enable_registration_token_3pid_bypass',
    false,
    'With `registration_requires_token`: a token alone is enough, without e-mail address and phone number.',
  ),
  allowedLocal3pids: groupList(
    'allowed_local_3pids',
    {
      medium: choice('medium', ['email', 'msisdn'], 'email', 'What it is about.'),
      pattern: checked(text('pattern', '', 'A regular expression that addresses match from their beginning.'), findPatternFault),
    },
    'Which e-mail addresses and phone numbers accounts may have; without it all.',
  ),
  nextLinkDomainWhitelist: optionalTextList(
    'next_link_domain_whitelist',
    'Hosts that browsers may be sent on to after an address was verified; without it all, with an empty list none.',
  ),
  registrationsRequire3pid: textList('registrations_require_3pid', [], 'What a new account must have verified: email, msisdn.'),
  enable3pidLookup: flag('enable_3pid_lookup', true, 'Lets people look others up on identity servers through us.'),
})
export type RegistrationConfig = Values<typeof registrationOptions.options>
