import { duration, flag, group, optionalText, secret, section, textList, withDefault } from './option.ts'
import type { Option, Values } from './option.ts'

const presenceEnabled: Option<boolean | 'untracked'> = withDefault<boolean | 'untracked', boolean>(
  {
    name: 'enabled',
    type: 'boolean or untracked',
    parse: ({ value }) =>
      typeof value === 'boolean' || value === 'untracked' ? { ok: value } : { expected: 'true, false or untracked' },
    doc: 'Shows who is online; `untracked` ignores what clients say and only passes on what app services say.',
    defaultText: 'true',
  },
  true,
)

/** What users see of each other, calls and notifications. */
export const usersOptions = section('Users, presence, calls and notifications', {
  presence: group(
    'presence',
    {
      enabled: presenceEnabled,
      includeOfflineUsersOnSync: flag('include_offline_users_on_sync', false, 'A first `/sync` also lists who is offline.'),
      lastActiveGranularityMs: duration(
        'last_active_granularity',
        '1m',
        'How long after an action somebody counts as currently active.',
      ),
      syncOnlineTimeoutMs: duration('sync_online_timeout', '30s', 'How long after the last `/sync` somebody counts as online.'),
      idleTimeoutMs: duration('idle_timeout', '5m', 'How long after an action somebody counts as idle.'),
    },
    'Who is online.',
  ),
  userDirectory: group(
    'user_directory',
    {
      enabled: flag('enabled', true, 'Answers searches for users.'),
      searchAllUsers: flag('search_all_users', false, 'Finds everyone, not only users of shared and public rooms.'),
      preferLocalUsers: flag('prefer_local_users', false, 'Lists users of this server first.'),
      excludeRemoteUsers: flag('exclude_remote_users', false, 'Finds users of this server only.'),
      showLockedUsers: flag('show_locked_users', false, 'Finds locked accounts too.'),
    },
    'Searching for users.',
  ),
  push: group(
    'push',
    {
      enabled: flag('enabled', true, 'Counts unread messages and sends push notifications.'),
      includeContent: flag('include_content', true, 'A push notification carries the message, not only its id.'),
      groupUnreadCountByRoom: flag('group_unread_count_by_room', true, 'The badge counts rooms, not messages.'),
      jitterDelayMs: duration('jitter_delay', '0s', 'Waits a random time up to this long before a push goes out.'),
    },
    'Notifications.',
  ),
  turnUris: textList('turn_uris', [], 'TURN servers for calls.'),
  turnSharedSecret: secret('turn_shared_secret', 'Makes passwords for the TURN servers.'),
  turnUsername: optionalText('turn_username', 'User name for the TURN servers, when there is no shared secret.'),
  turnPassword: optionalText('turn_password', 'Password for the TURN servers, when there is no shared secret.'),
  turnUserLifetimeMs: duration('turn_user_lifetime', '1h', 'How long those passwords last.'),
  turnAllowGuests: flag('turn_allow_guests', true, 'Guests may make calls.'),
  stats: group(
    'stats',
    { enabled: flag('enabled', true, 'Keeps statistics of users and rooms for the admin API.') },
    'Statistics.',
  ),
  trackPuppetedUserIps: flag(
    'track_puppeted_user_ips',
    false,
    'Also stores the addresses of administrators who act as somebody else.',
  ),
  trackAppserviceUserIps: flag('track_appservice_user_ips', false, "Also stores the addresses of app services' users."),
  appServiceConfigFiles: textList('app_service_config_files', [], 'Registration files of app services.'),
  useAppserviceLegacyAuthorization: flag(
    'use_appservice_legacy_authorization',
    false,
    'Also sends the token in the query to app services.',
  ),
  enableMetrics: flag('enable_metrics', false, 'Counts for Prometheus; read them from a listener with the resource metrics.'),
  dontNotifyNewDevicesFor: textList('dont_notify_new_devices_for', [], 'Users (bots) whose new devices are not announced.'),
})
export type UsersConfig = Values<typeof usersOptions.options>
