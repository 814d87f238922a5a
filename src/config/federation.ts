import {
  decimal,
  duration,
  flag,
  group,
  integer,
  optionalText,
  optionalTextList,
  section,
  textList,
  withDefault,
} from './option.ts'
import type { Option, Values } from './option.ts'

const minimumTlsVersion: Option<'1.2' | '1.3'> = withDefault<'1.2' | '1.3', '1.2'>(
  {
    name: 'federation_client_minimum_tls_version',
    type: '1, 1.1, 1.2, 1.3',
    // TLS 1.0 and 1.1 are gone from the runtime's defaults for good reasons: asking for them gives 1.2.
    parse: ({ value }) =>
      ['1', '1.0', '1.1', '1.2'].includes(String(value))
        ? { ok: '1.2' }
        : String(value) === '1.3'
          ? { ok: '1.3' }
          : { expected: '1.2 or 1.3' },
    doc: 'Oldest TLS that other servers may speak; never below 1.2.',
    defaultText: '1.2',
  },
  '1.2',
)

/** Talking to other servers. */
export const federationOptions = section('Federation', {
  federationDomainWhitelist: optionalTextList('federation_domain_whitelist', 'Talks to these servers only.'),
  federationWhitelistEndpointEnabled: flag(
    'federation_whitelist_endpoint_enabled',
    false,
    'Tells clients which servers we talk to.',
  ),
  federationVerifyCertificates: flag('federation_verify_certificates', true, "Checks other servers' TLS certificates."),
  federationCertificateVerificationWhitelist: textList(
    'federation_certificate_verification_whitelist',
    [],
    'Servers whose certificates are not checked.',
  ),
  federationCustomCaList: textList('federation_custom_ca_list', [], 'Files with certificate authorities to trust.'),
  federationClientMinimumTlsVersion: minimumTlsVersion,
  federationMetricsDomains: textList('federation_metrics_domains', [], 'Servers that get metrics of their own.'),
  federationIpRangeBlacklist: optionalTextList(
    'federation_ip_range_blacklist',
    'Networks that federation never connects to; `ip_range_blacklist` by default.',
  ),
  allowProfileLookupOverFederation: flag('allow_profile_lookup_over_federation', true, 'Shows profiles to other servers.'),
  allowDeviceNameLookupOverFederation: flag(
    'allow_device_name_lookup_over_federation',
    false,
    'Shows device names to other servers.',
  ),
  federation: group(
    'federation',
    {
      clientTimeoutMs: duration('client_timeout', '60s', 'Longest wait for an answer.'),
      maxShortRetryDelayMs: duration('max_short_retry_delay', '2s', 'Longest pause between tries while a user waits.'),
      maxLongRetryDelayMs: duration('max_long_retry_delay', '60s', 'Longest pause between tries in the background.'),
      maxShortRetries: integer('max_short_retries', 3, 'Tries while a user waits.'),
      maxLongRetries: integer('max_long_retries', 10, 'Tries in the background.'),
      destinationMinRetryIntervalMs: duration('destination_min_retry_interval', '10m', 'First pause after a server failed.'),
      destinationRetryMultiplier: decimal('destination_retry_multiplier', 2, 'How much longer each further pause is.'),
      destinationMaxRetryIntervalMs: duration('destination_max_retry_interval', '7d', 'Longest pause.'),
    },
    'How patiently we talk to them.',
  ),
})
export type FederationConfig = Values<typeof federationOptions.options>

/** Certificates of our own listeners. */
export const tlsOptions = section('TLS', {
  tlsCertificatePath: optionalText('tls_certificate_path', 'Certificate chain, for listeners with `tls: true`.'),
  tlsPrivateKeyPath: optionalText('tls_private_key_path', 'Its private key.'),
})
export type TlsConfig = Values<typeof tlsOptions.options>

/** Memory for what is asked often. */
export const cacheOptions = section('Caches', {
  eventCacheSize: integerSize('event_cache_size', 10_240, '10K', 'Events in memory.'),
  caches: group(
    'caches',
    {
      globalFactor: decimal('global_factor', 0.5, 'Multiplies the size of every cache.'),
      perCacheFactors: numberMap('per_cache_factors', 'Factors of single caches, by name.'),
      expireCaches: flag('expire_caches', true, 'Drops what was not used for a while.'),
      cacheEntryTtlMs: duration('cache_entry_ttl', '30m', 'That while.'),
      syncResponseCacheDurationMs: duration(
        'sync_response_cache_duration',
        '2m',
        'Accepted; an answer that is shared by equal requests is never older than they are.',
      ),
      cacheAutotuning: group(
        'cache_autotuning',
        {
          maxCacheMemoryUsage: optionalText('max_cache_memory_usage', 'Memory from which on caches shrink.'),
          targetCacheMemoryUsage: optionalText('target_cache_memory_usage', 'Memory that they shrink to.'),
          minCacheTtl: optionalText('min_cache_ttl', 'What is younger stays.'),
        },
        'Shrinking caches when memory gets short.',
      ),
      trackMemoryUsage: flag('track_memory_usage', false, 'Measures the memory of caches.'),
    },
    'Caches.',
  ),
})
export type CachesConfig = Values<typeof cacheOptions.options>

function integerSize(name: string, fallback: number, defaultText: string, doc: string): Option<number> {
  return withDefault(
    {
      name,
      type: 'size',
      parse: ({ value }) => {
        const match = /^(\d+)(K|M)?$/.exec(String(value))
        return match
          ? { ok: Number(match[1]) * (match[2] === 'M' ? 1024 ** 2 : match[2] === 'K' ? 1024 : 1) }
          : { expected: 'a number like 10K' }
      },
      doc,
      defaultText,
    },
    fallback,
  )
}

function numberMap(name: string, doc: string): Option<ReadonlyMap<string, number>> {
  return {
    name,
    type: 'mapping of numbers',
    defaultText: '{}',
    doc,
    read(reader) {
      const values = new Map<string, number>()
      const child = reader.child(name)
      for (const [key, { node }] of child.entries()) {
        if (typeof node.value === 'number' && node.value >= 0) values.set(key.toLowerCase(), node.value)
        else child.problem(node.place, key, 'expected a number of at least 0')
      }
      return values
    },
  }
}
