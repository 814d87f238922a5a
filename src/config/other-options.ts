// Options of Synapse that no table has, with what to tell an admin who uses them. An empty text says nothing: the option changes
// something of Python or of Synapse's own process that has no counterpart here.

const LATER = 'is not supported yet; it is ignored. Remove it, or keep it for a later version'
const PYTHON = 'loads Python code, which cannot run here; it is ignored. Remove it'
const REMOVED = 'was removed from Synapse long ago; it is ignored. Remove it'

function all(names: readonly string[], advice: string): [string, string][] {
  return names.map((name) => [name, advice])
}

/** Every option that Synapse knows and no table of ours has: name and advice. */
export const OTHER_OPTIONS: ReadonlyMap<string, string> = new Map([
  ...all(
    [
      'gc_thresholds',
      'gc_min_interval',
      'use_frozen_dicts',
      'soft_file_limit',
      'daemonize',
      'print_pidfile',
      'no_redirect_stdio',
      'manhole_settings',
      'report_stats_endpoint',
      'replication_torture_level',
      'cleanup_extremities_with_dummy_events',
    ],
    '',
  ),
  ...all(
    [
      'matrix_authentication_service',
      'user_types',
      'server_context',
      'matrix_rtc',
      'saml2_config',
      'oidc_providers',
      'oidc_config',
      'cas_config',
      'sso',
      'jwt_config',
      'opentracing',
      'sentry',
      'metrics_flags',
      'use_account_validity_in_account_status',
      'databases',
      'enable_ephemeral_messages',
      'media_storage_providers',
      'synchronous_backup_media_store',
    ],
    LATER,
  ),
  ...all(['modules', 'password_providers', 'ldap_config', 'spam_checker', 'third_party_event_rules', 'presence_router'], PYTHON),
  ...all(
    [
      'trust_identity_server_for_password_resets',
      'invite_3pid_guest',
      'log_file',
      'verbose',
      'expiry_time',
      'web_client',
      'riot_base_url',
      'database_path',
      'bind_port',
      'bind_host',
      'unsecure_port',
      'no_tls',
      'gzip_responses',
      'tls_fingerprints',
      'tls_dh_params_path',
      'enable_group_creation',
      'group_creation_prefix',
      'acme',
      'media_instance',
      'captcha_ip_origin_is_x_forwarded',
      'captcha_bypass_secret',
      'enable_legacy_emoji',
      'thumbnail_requirements',
    ],
    REMOVED,
  ),
  ['manhole', 'there is no manhole; use the admin API instead, and remove this option'],
  ['worker_manhole', 'there is no manhole; use the admin API instead, and remove this option'],
  ['perspectives', 'is the old form of `trusted_key_servers`; write that instead'],
  ['use_presence', 'is the old form of `presence.enabled`; write that instead'],
  ['disable_registration', 'is the old form of `enable_registration`; write that instead'],
  [
    'restrict_public_rooms_to_local_users',
    'is the old form of `allow_public_rooms_without_auth` and `allow_public_rooms_over_federation`; write these',
  ],
  ['room_invite_state_types', 'is the old form of `room_prejoin_state`; write that instead'],
  ['rc_messages_per_second', 'is the old form of `rc_message`; write that instead'],
  ['rc_message_burst_count', 'is the old form of `rc_message`; write that instead'],
  ['federation_rc_window_size', 'is the old form of `rc_federation`; write that instead'],
  ['federation_rc_sleep_limit', 'is the old form of `rc_federation`; write that instead'],
  ['federation_rc_sleep_delay', 'is the old form of `rc_federation`; write that instead'],
  ['federation_rc_reject_limit', 'is the old form of `rc_federation`; write that instead'],
  ['federation_rc_concurrent', 'is the old form of `rc_federation`; write that instead'],
  ['metrics_port', 'is the old form of a listener with the resource metrics; write that instead'],
  ['metrics_bind_host', 'is the old form of a listener with the resource metrics; write that instead'],
  ['allow_underscore_prefixed_registration', 'is written `allow_underscore_prefixed_localpart`'],
  ['worker_replication_port', 'is gone; the processes talk through Redis'],
])
