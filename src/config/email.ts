import { checked, duration, flag, group, optionalDuration, optionalInteger, optionalText, section, text } from './option.ts'
import type { Option, Values } from './option.ts'
import { findUrlFault } from './server.ts'

const ROOM = 'in the %(room)s room'

const subjects = group(
  'subjects',
  {
    messageFromPersonInRoom: text(
      'message_from_person_in_room',
      `[%(app)s] You have a message on %(app)s from %(person)s ${ROOM}...`,
      'One message in a room with a name.',
    ),
    messageFromPerson: text(
      'message_from_person',
      '[%(app)s] You have a message on %(app)s from %(person)s...',
      'One message in a room without one.',
    ),
    messagesFromPerson: text(
      'messages_from_person',
      '[%(app)s] You have messages on %(app)s from %(person)s...',
      'Messages in a room without a name.',
    ),
    messagesInRoom: text(
      'messages_in_room',
      `[%(app)s] You have messages on %(app)s ${ROOM}...`,
      'Messages in a room with a name.',
    ),
    messagesInRoomAndOthers: text(
      'messages_in_room_and_others',
      `[%(app)s] You have messages on %(app)s ${ROOM} and others...`,
      'Messages in several rooms.',
    ),
    messagesFromPersonAndOthers: text(
      'messages_from_person_and_others',
      '[%(app)s] You have messages on %(app)s from %(person)s and others...',
      'Messages in several rooms, the first without a name.',
    ),
    inviteFromPerson: text(
      'invite_from_person',
      '[%(app)s] %(person)s has invited you to chat on %(app)s...',
      'An invite to a room without a name.',
    ),
    inviteFromPersonToRoom: text(
      'invite_from_person_to_room',
      '[%(app)s] %(person)s has invited you to join the %(room)s room on %(app)s...',
      'An invite to a room with a name.',
    ),
    inviteFromPersonToSpace: text(
      'invite_from_person_to_space',
      '[%(app)s] %(person)s has invited you to join the %(space)s space on %(app)s...',
      'An invite to a space with a name.',
    ),
    passwordReset: text('password_reset', '[%(server_name)s] Password reset', 'A new password.'),
    emailValidation: text('email_validation', '[%(server_name)s] Validate your email', 'An address is to be confirmed.'),
    emailAlreadyInUse: text('email_already_in_use', '[%(server_name)s] Email already in use', 'An address has an account.'),
  },
  'Subjects of mails. `%(app)s`, `%(server_name)s`, `%(person)s`, `%(room)s` and `%(space)s` are replaced.',
)

function template(name: string, fallback: string): Option<string> {
  return text(name, fallback, 'File name of the template.')
}

const email = group(
  'email',
  {
    smtpHost: text('smtp_host', 'localhost', 'Host of the mail server that takes our mails.'),
    smtpPort: optionalInteger('smtp_port', 'Its port; 465 with `force_tls`, else 25.', { min: 1, max: 65_535 }),
    smtpUser: optionalText('smtp_user', 'User name for it.'),
    smtpPass: optionalText('smtp_pass', 'Password for it.'),
    forceTls: flag('force_tls', false, 'Speaks TLS from the first byte.'),
    requireTransportSecurity: flag('require_transport_security', false, 'Sends nothing without TLS (STARTTLS).'),
    enableTls: flag('enable_tls', true, 'Uses TLS where the mail server offers it; its certificate must then be valid.'),
    tlsname: optionalText('tlsname', 'The name in its certificate; `smtp_host` by default.'),
    notifFrom: optionalText(
      'notif_from',
      'The sender of our mails; `%(app)s` is replaced. Mails are sent only when it is given.',
    ),
    appName: text('app_name', 'Matrix', 'What `%(app)s` is replaced by.'),
    enableNotifs: flag('enable_notifs', false, 'Lets people be told of missed messages by mail.'),
    notifForNewUsers: flag('notif_for_new_users', true, 'New accounts with an e-mail address begin with that.'),
    notifDelayBeforeMailMs: duration(
      'notif_delay_before_mail',
      '10m',
      'How long a message must be unread before a mail is sent.',
    ),
    clientBaseUrl: optionalText('client_base_url', 'URL of the web client that links in mails lead to; matrix.to by default.'),
    riotBaseUrl: optionalText('riot_base_url', 'Old name of `client_base_url`.'),
    validationTokenLifetimeMs: duration('validation_token_lifetime', '1h', 'How long a link in a mail is valid.'),
    inviteClientLocation: checked(
      optionalText('invite_client_location', 'URL of the web client that people invited by e-mail are sent to.'),
      findUrlFault,
    ),
    templateDir: optionalText('template_dir', 'Folder of templates; better: `templates.custom_template_directory`.'),
    notifTemplateHtml: template('notif_template_html', 'notif_mail.html'),
    notifTemplateText: template('notif_template_text', 'notif_mail.txt'),
    expiryTemplateHtml: template('expiry_template_html', 'notice_expiry.html'),
    expiryTemplateText: template('expiry_template_text', 'notice_expiry.txt'),
    passwordResetTemplateHtml: template('password_reset_template_html', 'password_reset.html'),
    passwordResetTemplateText: template('password_reset_template_text', 'password_reset.txt'),
    passwordResetTemplateSuccessHtml: template('password_reset_template_success_html', 'password_reset_success.html'),
    passwordResetTemplateFailureHtml: template('password_reset_template_failure_html', 'password_reset_failure.html'),
    registrationTemplateHtml: template('registration_template_html', 'registration.html'),
    registrationTemplateText: template('registration_template_text', 'registration.txt'),
    registrationTemplateSuccessHtml: template('registration_template_success_html', 'registration_success.html'),
    registrationTemplateFailureHtml: template('registration_template_failure_html', 'registration_failure.html'),
    alreadyInUseTemplateHtml: template('already_in_use_template_html', 'already_in_use.html'),
    alreadyInUseTemplateText: template('already_in_use_template_text', 'already_in_use.txt'),
    addThreepidTemplateHtml: template('add_threepid_template_html', 'add_threepid.html'),
    addThreepidTemplateText: template('add_threepid_template_text', 'add_threepid.txt'),
    addThreepidTemplateSuccessHtml: template('add_threepid_template_success_html', 'add_threepid_success.html'),
    addThreepidTemplateFailureHtml: template('add_threepid_template_failure_html', 'add_threepid_failure.html'),
    subjects,
  },
  'Sending mails.',
)

/** Mails, what they and pages for people look like, and accounts that must be renewed by mail. */
export const emailOptions = section('E-mail and templates', {
  email: checked(email, ({ forceTls, requireTransportSecurity, enableTls, notifFrom, enableNotifs }) => {
    if ((forceTls || requireTransportSecurity) && !enableTls) return 'TLS is required and forbidden: set `enable_tls: true`'
    return enableNotifs && notifFrom === undefined ? '`notif_from` is needed' : undefined
  }),
  templates: group(
    'templates',
    {
      customTemplateDirectory: optionalText(
        'custom_template_directory',
        'Folder of templates of your own; `<language>/<name>` in it comes before `<name>`.',
      ),
    },
    'Templates of mails and pages.',
  ),
  accountValidity: checked(
    group(
      'account_validity',
      {
        enabled: flag('enabled', false, 'Accounts end after a while unless they are renewed.'),
        periodMs: optionalDuration('period', undefined, 'How long an account is valid.'),
        renewAtMs: optionalDuration('renew_at', undefined, 'How long before its end a mail is sent that renews it.'),
        renewEmailSubject: text('renew_email_subject', 'Renew your %(app)s account', 'Subject of that mail.'),
        templateDir: optionalText('template_dir', 'Folder of templates; better: `templates.custom_template_directory`.'),
        accountRenewedHtmlPath: template('account_renewed_html_path', 'account_renewed.html'),
        invalidTokenHtmlPath: template('invalid_token_html_path', 'invalid_token.html'),
      },
      'Accounts that must be renewed.',
    ),
    ({ enabled, periodMs }) => (enabled && periodMs === undefined ? '`period` is needed' : undefined),
  ),
})
export type EmailConfig = Values<typeof emailOptions.options>
