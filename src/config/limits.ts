import { checked, choice, flag, groupList, integer, plainObject, secret, section, text } from './option.ts'
import type { Values } from './option.ts'
import { findUrlFault } from './server.ts'

/** Who may use the server at all: how many people, and no programs. */
export const limitsOptions = section('Limits of use', {
  limitUsageByMau: flag('limit_usage_by_mau', false, 'Lets only so many people use the server in a month.'),
  maxMauValue: integer('max_mau_value', 0, 'How many.'),
  mauTrialDays: integer('mau_trial_days', 0, 'A new account counts only after so many days.'),
  mauAppserviceTrialDays: checked(
    plainObject('mau_appservice_trial_days', 'The same for users of application services, by the id of the service.'),
    (days) =>
      Object.values(days).every((value) => Number.isSafeInteger(value) && Number(value) >= 0)
        ? undefined
        : 'expected numbers of days',
  ),
  mauLimitAlerting: flag('mau_limit_alerting', true, 'Accepted; there are no server notices about the limit yet.'),
  mauStatsOnly: flag('mau_stats_only', false, 'Counts people and limits nobody.'),
  mauLimitReservedThreepids: groupList(
    'mau_limit_reserved_threepids',
    {
      medium: choice('medium', ['email', 'msisdn'], 'email', 'Kind of the address.'),
      address: text('address', '', 'The address.'),
    },
    'Whose accounts are never kept out.',
  ),
  recaptchaPublicKey: secret('recaptcha_public_key', 'The site key of reCAPTCHA.'),
  recaptchaPrivateKey: secret('recaptcha_private_key', 'The secret key of reCAPTCHA.'),
  enableRegistrationCaptcha: flag('enable_registration_captcha', false, 'Making an account needs a captcha.'),
  recaptchaSiteverifyApi: checked(
    text('recaptcha_siteverify_api', 'https://www.recaptcha.net/recaptcha/api/siteverify', 'Who checks captchas.'),
    findUrlFault,
  ),
})
export type LimitsConfig = Values<typeof limitsOptions.options>
