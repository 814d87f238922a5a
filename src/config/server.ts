import {
  checked,
  flag,
  integer,
  optionalDuration,
  optionalText,
  optionalTextList,
  plainObject,
  section,
  text,
  textList,
} from './option.ts'
import type { Values } from './option.ts'

// What Synapse refuses to connect to by default (config manual § ip_range_blacklist): private, local, test and multicast networks.
const PRIVATE_RANGES: readonly string[] = [
  '127.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '192.0.0.0/24',
  '169.254.0.0/16',
  '192.88.99.0/24',
  '198.18.0.0/15',
  '192.0.2.0/24',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '::1/128',
  'fe80::/10',
  'fc00::/7',
  '2001:db8::/32',
  'ff00::/8',
  'fec0::/10',
]
const SERVER_NAME = /^(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,255})(?::[0-9]{1,5})?$/

/** Checks a URL option: http or https, no query, no fragment. */
export function findUrlFault(value: string | undefined): string | undefined {
  if (value === undefined) return undefined
  const url = URL.parse(value)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    return 'expected a URL that begins with https:// or http://'
  return url.search === '' && url.hash === '' ? undefined : 'the URL must have neither a query nor a fragment'
}

/** Who this server is, and what it says about itself. */
export const serverOptions = section('Server', {
  serverName: checked(
    text(
      'server_name',
      '',
      'The public name of the server: what stands after the colon in user ids. It cannot be changed later.',
    ),
    (value) => (SERVER_NAME.test(value) ? undefined : 'expected a server name like example.com or example.com:8448'),
  ),
  publicBaseurl: checked(
    optionalText('public_baseurl', 'The URL that clients reach this server by. When given, it is published in `.well-known`.'),
    findUrlFault,
  ),
  serveServerWellknown: flag(
    'serve_server_wellknown',
    false,
    "Answers `/.well-known/matrix/server` with this server's name and port 443.",
  ),
  extraWellKnownClientContent: checked(
    plainObject('extra_well_known_client_content', 'Further fields for `/.well-known/matrix/client`.'),
    (value) =>
      'm.homeserver' in value
        ? 'm.homeserver comes from `public_baseurl`'
        : 'm.identity_server' in value
          ? 'm.identity_server comes from `default_identity_server`'
          : undefined,
  ),
  webClientLocation: checked(optionalText('web_client_location', 'Where `/` redirects browsers to.'), findUrlFault),
  adminContact: optionalText(
    'admin_contact',
    'How users reach the administrator, for example `mailto:admin@example.com`; shown in limit errors and `.well-known/matrix/support`.',
  ),
  pidFile: optionalText('pid_file', 'Where the process writes its id.'),
  userAgentSuffix: optionalText('user_agent_suffix', 'Text at the end of the User-Agent of our own requests.'),
  hsDisabled: flag('hs_disabled', false, 'Refuses all clients with M_RESOURCE_LIMIT_EXCEEDED.'),
  hsDisabledMessage: text('hs_disabled_message', '', 'What the refused clients are told.'),
  filterTimelineLimit: integer('filter_timeline_limit', 100, 'The most timeline events a filter may ask for; -1 for no limit.', {
    min: -1,
  }),
  enableSearch: flag('enable_search', true, 'Indexes messages and answers `/search`.'),
  maxEventDelayDurationMs: optionalDuration(
    'max_event_delay_duration',
    undefined,
    'The longest delay of a delayed event (MSC4140); without it they are refused.',
  ),
  deleteStaleDevicesAfterMs: optionalDuration(
    'delete_stale_devices_after',
    undefined,
    'Deletes devices that were not seen for this long.',
  ),
  userIpsMaxAgeMs: optionalDuration(
    'user_ips_max_age',
    '28d',
    'How long the addresses that users came from are kept; null for ever.',
  ),
  dummyEventsThreshold: integer('dummy_events_threshold', 10, 'Forward extremities of a room before a dummy event joins them.'),
  ipRangeBlacklist: textList('ip_range_blacklist', PRIVATE_RANGES, 'Networks that outgoing requests never connect to.'),
  ipRangeWhitelist: textList('ip_range_whitelist', [], 'Exceptions to `ip_range_blacklist`.'),
  httpProxy: optionalText('http_proxy', "Proxy for outgoing HTTP. Overrides the environment's `http_proxy`."),
  httpsProxy: optionalText('https_proxy', "Proxy for outgoing HTTPS. Overrides the environment's `https_proxy`."),
  noProxyHosts: optionalTextList('no_proxy_hosts', 'Hosts and networks that are reached without the proxy.'),
  reportStats: flag('report_stats', false, 'Accepted for compatibility: this server never reports anything to anyone.'),
  requestTokenInhibit3pidErrors: flag(
    'request_token_inhibit_3pid_errors',
    false,
    'Does not tell whether an e-mail address or phone number is in use.',
  ),
})
export type ServerConfig = Values<typeof serverOptions.options> & {
  /** `public_baseurl` with its default `https://<server_name>/`; always ends with a slash. */
  readonly publicBaseUrl: string
  /** Whether `.well-known/matrix/client` is answered: only when an admin gave `public_baseurl`. */
  readonly servesClientWellKnown: boolean
}
