/** Passwords hashed quickly, registration open, no rate limits. Tests of limits bring their own. */
export function baseConfig(): Record<string, unknown> {
  const unlimited = { per_second: 9999, burst_count: 9999 }
  return {
    server_name: 'test.example',
    public_baseurl: 'https://test.example/',
    signing_key: 'ed25519 a_test AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    macaroon_secret_key: 'only for tests',
    report_stats: false,
    enable_registration: true,
    enable_registration_without_verification: true,
    registration_shared_secret: 'shared secret of the tests',
    bcrypt_rounds: 4,
    room_list_publication_rules: [{ action: 'allow' }],
    rc_message: unlimited,
    rc_registration: unlimited,
    rc_login: { address: unlimited, account: unlimited, failed_attempts: unlimited },
    rc_joins: { local: unlimited, remote: unlimited },
    rc_joins_per_room: unlimited,
    rc_invites: { per_room: unlimited, per_user: unlimited, per_issuer: unlimited },
    rc_room_creation: unlimited,
    rc_presence: { per_user: unlimited },
    rc_user_directory: unlimited,
    rc_admin_redaction: unlimited,
  }
}
