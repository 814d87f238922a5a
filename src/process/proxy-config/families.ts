import type { EndpointGroupName } from '../../api/endpoint-groups.ts'
import type { ListenerResource } from '../../http/endpoint.ts'

/** Paths that are routed together, whatever the method. */
export interface PathFamily {
  readonly group: EndpointGroupName
  readonly resource: ListenerResource
  /** Regular expression on the decoded path. Of the dialect that PCRE, RE2 and JavaScript share. */
  readonly pattern: string
}

/** What stands before `/rooms/…` and its like: the versions of the client API, present, past and unstable. */
export const CLIENT_PREFIX = '/_matrix/client/(?:api/v1|r0|v1|v3|unstable|unstable/[^/]+)'

const ROOM = `${CLIENT_PREFIX}/rooms/[^/]+`
const USER = `${CLIENT_PREFIX}/user/[^/]+`

function client(group: EndpointGroupName, ...patterns: readonly string[]): PathFamily[] {
  return patterns.map((pattern) => ({ group, resource: 'client', pattern: `^${pattern}` }))
}

function federation(group: EndpointGroupName, ...patterns: readonly string[]): PathFamily[] {
  return patterns.map((pattern) => ({ group, resource: 'federation', pattern: `^/_matrix/federation/${pattern}` }))
}

function media(group: EndpointGroupName, ...patterns: readonly string[]): PathFamily[] {
  return patterns.map((pattern) => ({ group, resource: 'media', pattern: `^${pattern}` }))
}

/**
 * All families, the first that matches counts. They are at least those of Synapse's docs/workers.md, and hold for endpoints that do
 * not exist here yet. Where they put an existing endpoint into another group than its definition says, routes.ts adds the exception.
 */
export const PATH_FAMILIES: readonly PathFamily[] = [
  ...client('sliding_sync', '/_matrix/client/unstable/org\\.matrix\\.(?:simplified_)?msc3575/sync$', '/_matrix/client/v4/sync$'),
  ...client('sync', `${CLIENT_PREFIX}/sync$`),
  ...client('events_stream', `${CLIENT_PREFIX}/events$`),
  ...client('initial_sync', `${CLIENT_PREFIX}/initialSync$`, `${ROOM}/initialSync$`),

  ...federation('federation_send', 'v[0-9]+/send/'),
  ...federation(
    'federation_membership',
    'v[0-9]+/(?:make|send)_(?:join|leave|knock)/',
    'v[0-9]+/(?:invite|exchange_third_party_invite)/',
  ),
  ...media('media', '/_matrix/federation/v1/media/', '/_matrix/media/', `${CLIENT_PREFIX}/media/`),
  { group: 'federation_reads', resource: 'openid', pattern: '^/_matrix/federation/v1/openid/' },
  ...federation('federation_reads', ''),
  { group: 'keys', resource: 'keys', pattern: '^/_matrix/key/' },

  ...client('sso', `${CLIENT_PREFIX}/login/(?:sso/redirect|cas/ticket)`, '/_synapse/client/'),
  ...client('login', `${CLIENT_PREFIX}/(?:login|logout|register|refresh)(?:/|$)`),
  ...client('typing', `${ROOM}/typing(?:/|$)`),
  ...client('receipts', `${ROOM}/(?:receipt|read_markers)(?:/|$)`),
  ...client('presence', `${CLIENT_PREFIX}/presence/`),
  ...client('push_rules', `${CLIENT_PREFIX}/pushrules(?:/|$)`),
  ...client('to_device', `${CLIENT_PREFIX}/sendToDevice/`),
  ...client('account_data', `${USER}/(?:rooms/[^/]+/)?(?:tags|account_data)(?:/|$)`),
  ...client('thread_subscriptions', `${ROOM}/thread/[^/]+/subscription$`, `${CLIENT_PREFIX}/thread_subscriptions$`),
  ...client('devices', `${CLIENT_PREFIX}/(?:delete_devices$|devices(?:/|$))`),
  ...client('encryption', `${CLIENT_PREFIX}/(?:keys|room_keys|dehydrated_device)(?:/|$)`),
  ...client('user_directory', `${CLIENT_PREFIX}/user_directory/search$`),
  ...client('delayed_events', '/_matrix/client/unstable/org\\.matrix\\.msc4140/delayed_events(?:/|$)'),
  ...client('room_messages', `${ROOM}/(?:messages$|context/|relations/|threads$|timestamp_to_event$)`),
  ...client(
    'event_sending',
    `${ROOM}/(?:(?:send|redact)(?:/|$)|state/)`,
    `${ROOM}/(?:join|invite|leave|ban|unban|kick|forget|upgrade)$`,
    `${CLIENT_PREFIX}/(?:join|knock)/`,
    `${CLIENT_PREFIX}/createRoom$`,
  ),
  ...client('account', `${CLIENT_PREFIX}/(?:account/|capabilities$|password_policy$)`, `${USER}/openid/`),
  ...client(
    'client_reads',
    `${ROOM}/(?:joined_members|members|state|hierarchy|aliases|summary)$`,
    `${ROOM}/(?:aliases|event|report)(?:/|$)`,
    `${USER}/filter(?:/|$)`,
    `${CLIENT_PREFIX}/users/[^/]+/report$`,
    `${CLIENT_PREFIX}/(?:publicRooms|joined_rooms|search|notifications|pushers|voip|mutual_rooms)(?:/|$)`,
    `${CLIENT_PREFIX}/(?:events|profile|directory|room_summary|summary|thirdparty)/`,
  ),
  ...client('server', '/_matrix/client/versions$', '/\\.well-known/matrix/', '/health$'),

  ...media(
    'media_admin',
    '/_synapse/admin/v1/purge_media_cache$',
    '/_synapse/admin/v1/(?:room|rooms|user|users)/.*/media',
    '/_synapse/admin/v1/(?:media|quarantine_media)/',
  ),
  ...client('admin', '/_synapse/admin/', `${CLIENT_PREFIX}/admin/`),
  { group: 'other', resource: 'consent', pattern: '^/_matrix/consent' },
  { group: 'other', resource: 'static', pattern: '^/_matrix/static/' },
  ...client('other', '/_matrix/', '/$'),
]
