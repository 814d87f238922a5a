import { testAuthority } from '../test-authority.ts'

/** Where a Synapse listens and keeps its files. */
export interface SynapsePlaces {
  readonly serverName: string
  readonly directory: string
  readonly clientPort: number
  readonly federationPort: number
}

/** The configuration of a Synapse on SQLite that trusts the tests' authority, limits nobody, and never waits long for a lost server. */
export async function synapseConfig(places: SynapsePlaces): Promise<Record<string, unknown>> {
  const { caPath, localhost } = await testAuthority()
  const unlimited = { per_second: 9999, burst_count: 9999 }
  const path = (name: string): string => `${places.directory}/${name}`
  const listener = { type: 'http', bind_addresses: ['127.0.0.1'], resources: [{ names: ['client', 'federation'] }] }
  return {
    server_name: places.serverName,
    public_baseurl: `https://${places.serverName}/`,
    pid_file: path('synapse.pid'),
    listeners: [
      { ...listener, port: places.clientPort },
      { ...listener, port: places.federationPort, tls: true },
    ],
    database: { name: 'sqlite3', args: { database: path('synapse.db') } },
    media_store_path: path('media'),
    signing_key_path: path('signing.key'),
    macaroon_secret_key: 'only for tests',
    form_secret: 'only for tests',
    report_stats: false,
    tls_certificate_path: localhost.certPath,
    tls_private_key_path: localhost.keyPath,
    federation_custom_ca_list: [caPath],
    ip_range_blacklist: [],
    federation_ip_range_blacklist: [],
    trusted_key_servers: [],
    suppress_key_server_warning: true,
    enable_registration: true,
    enable_registration_without_verification: true,
    registration_shared_secret: 'shared secret of the tests',
    bcrypt_rounds: 4,
    allow_public_rooms_over_federation: true,
    room_list_publication_rules: [{ action: 'allow' }],
    // The same question gets the answer of now, not that of two minutes ago.
    caches: { sync_response_cache_duration: 0 },
    limit_remote_rooms: { enabled: false },
    federation: {
      client_timeout: '10s',
      max_short_retries: 1,
      max_short_retry_delay: '1s',
      destination_min_retry_interval: '1s',
      destination_max_retry_interval: '2s',
      destination_retry_multiplier: 1,
    },
    rc_message: unlimited,
    rc_registration: unlimited,
    rc_login: { address: unlimited, account: unlimited, failed_attempts: unlimited },
    rc_joins: { local: unlimited, remote: unlimited },
    rc_joins_per_room: unlimited,
    rc_invites: { per_room: unlimited, per_user: unlimited, per_issuer: unlimited },
    rc_room_creation: unlimited,
    rc_presence: { per_user: unlimited },
    rc_media_create: unlimited,
    remote_media_download_per_second: '1G',
    remote_media_download_burst_count: '10G',
    rc_federation: { window_size: 1000, sleep_limit: 9999, sleep_delay: 1, reject_limit: 9999, concurrent: 50 },
  }
}
