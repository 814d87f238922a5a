import type { Balance } from '../../api/endpoint-groups.ts'
import type { PooledRoute, ProxyModel, ProxyPool } from './model.ts'
import { PUBLIC_PATTERN, ROOM_OF_PATH, UPLOAD_PATTERN, USER_OF_TOKEN } from './routes.ts'
import { ERRORS_OF_PROXY, LONG_POLL_TIMEOUT_S, OTHER_BODY_BYTES_MAX, PRIVATE_HEADERS, REQUEST_TIMEOUT_S } from './settings.ts'

const HASH_KEY: Readonly<Record<Exclude<Balance, 'any'>, string>> = {
  user: '$ganglion_user',
  room: '$ganglion_room',
  source: '$remote_addr',
}

/** Writes a configuration of nginx, 1.18 or later. With `isFragment` only what stands inside `http { }`. */
export function writeNginx(model: ProxyModel, { isFragment = false }: { isFragment?: boolean } = {}): string {
  const inner = [...maps(model), ...model.pools.flatMap(upstream), ...server(model)]
  if (isFragment) return lines(inner)
  return lines([
    'worker_processes auto;',
    '# Long polls hold a connection to the client and one to the process.',
    'worker_rlimit_nofile 65536;',
    'events {',
    '    worker_connections 16384;',
    '}',
    'http {',
    ...inner.map((line) => (line === '' ? '' : `    ${line}`)),
    '}',
  ])
}

function lines(text: readonly string[]): string {
  return `${text.join('\n')}\n`
}

function maps(model: ProxyModel): string[] {
  const keyed = model.routes.map((route) => `    ${quote(`~${requestPattern(route)}`)} ${targetOf(route)};`)
  const splits = new Map(model.routes.flatMap((route) => (route.poolWithoutSince ? [[splitName(route), route] as const] : [])))
  return [
    '# Tokens are syt_<user>_<random>_<checksum>, in the header or, from old clients, in the query. Others count as a whole.',
    'map $arg_access_token $ganglion_user_of_query {',
    '    default $arg_access_token;',
    `    ${quote(`~^${USER_OF_TOKEN.replace('(', '(?<ganglion_localpart_of_query>')}`)} $ganglion_localpart_of_query;`,
    '}',
    'map $http_authorization $ganglion_user {',
    '    default $http_authorization;',
    '    "" $ganglion_user_of_query;',
    `    ${quote(`~*^Bearer +${USER_OF_TOKEN.replace('(', '(?<ganglion_localpart>')}`)} $ganglion_localpart;`,
    '}',
    'map $uri $ganglion_room {',
    '    default $request_id;',
    `    ${quote(`~${ROOM_OF_PATH.replace(/\(\[\^\/\]\+\)$/, '(?<ganglion_room_of_path>[^/]+)')}`)} $ganglion_room_of_path;`,
    '}',
    ...[...splits].flatMap(([name, { pool, poolWithoutSince }]) => [
      '# Without `since` everything is sent: these requests are apart, and do not slow down the others.',
      `map $arg_since ${name} {`,
      `    default ${urlOf(pool)};`,
      `    "" ${urlOf(poolWithoutSince ?? pool)};`,
      '}',
    ]),
    '# Which processes serve what: method and path, the first line that matches.',
    'map "$request_method $uri" $ganglion_target {',
    '    default "";',
    ...keyed,
    '}',
    '',
  ]
}

function requestPattern({ methods, pattern }: PooledRoute): string {
  return `^${methods === undefined ? '[A-Z]+' : methods.length === 1 ? (methods[0] ?? '') : `(?:${methods.join('|')})`} ${pattern.slice(1)}`
}

function targetOf(route: PooledRoute): string {
  return route.poolWithoutSince ? splitName(route) : urlOf(route.pool)
}

function splitName({ pool, poolWithoutSince }: PooledRoute): string {
  return `$${pool.name}_or_${poolWithoutSince?.name.replace(/^ganglion_/, '') ?? ''}`
}

function urlOf({ name, isTls }: ProxyPool): string {
  return `${isTls ? 'https' : 'http'}://${name}`
}

function upstream({ name, members, backups, balance }: ProxyPool): string[] {
  const isHashed = balance !== 'any'
  const check = members.length + (isHashed ? 0 : backups.length) > 1 ? ' max_fails=3 fail_timeout=2s' : ''
  const addressOf = ({ address, isSocket }: { address: string; isSocket: boolean }): string =>
    isSocket ? `unix:${address}` : address
  return [
    `upstream ${name} {`,
    `    zone ${name} 64k;`,
    ...(isHashed ? [`    hash ${HASH_KEY[balance]} consistent;`] : []),
    ...members.map((member) => `    server ${addressOf(member)}${check}; # ${member.process}`),
    // nginx has no stand-ins beside a hash; there the remaining members share the work.
    ...(isHashed ? [] : backups.map((member) => `    server ${addressOf(member)} backup; # ${member.process}`)),
    '    keepalive 64;',
    '}',
    '',
  ]
}

function server(model: ProxyModel): string[] {
  const longPolls = [...new Set(model.routes.filter(({ pool }) => pool.isLongPoll).map(({ pattern }) => pattern))]
  return [
    'server {',
    ...model.listen.map(({ address, isTls }) => `    listen ${address}${isTls ? ' ssl http2' : ''};`),
    `    server_name ${model.hosts.join(' ')};`,
    ...tls(model),
    '    # Queries may hold tokens, and the processes log requests themselves.',
    '    access_log off;',
    '    server_tokens off;',
    '    # Ids may hold slashes: two in a row are not one.',
    '    merge_slashes off;',
    '    large_client_header_buffers 8 32k;',
    `    client_max_body_size ${OTHER_BODY_BYTES_MAX};`,
    '    client_body_buffer_size 128k;',
    '',
    '    proxy_http_version 1.1;',
    '    proxy_set_header Host $http_host;',
    '    proxy_set_header Connection "";',
    '    proxy_set_header X-Forwarded-For $remote_addr;',
    '    proxy_set_header X-Forwarded-Proto $scheme;',
    '    proxy_set_header X-Forwarded-Host $http_host;',
    '    proxy_set_header X-Request-Id $request_id;',
    '    # What our processes tell each other, and nobody else.',
    ...PRIVATE_HEADERS.map((name) => `    proxy_set_header ${name} "";`),
    '    # Large answers go to the client as fast as it reads, never to a file.',
    '    proxy_max_temp_file_size 0;',
    '    proxy_connect_timeout 3s;',
    `    proxy_send_timeout ${REQUEST_TIMEOUT_S}s;`,
    `    proxy_read_timeout ${REQUEST_TIMEOUT_S}s;`,
    '    # Another process is tried where none was reached, and, unless it is a POST, where one broke off or is starting or stopping.',
    '    proxy_next_upstream error timeout http_503;',
    '    proxy_next_upstream_tries 3;',
    '    proxy_next_upstream_timeout 20s;',
    '',
    ...ERRORS_OF_PROXY.flatMap(({ statuses, name }) => [`    error_page ${statuses.join(' ')} /ganglion_${name};`]),
    ...ERRORS_OF_PROXY.flatMap(({ statuses, name, body }) => [
      // A path, since a request whose own path could not be read can go to no named location.
      `    location = /ganglion_${name} {`,
      '        internal;',
      '        default_type application/json;',
      '        add_header Access-Control-Allow-Origin * always;',
      `        return ${statuses[0]} '${body}';`,
      '    }',
    ]),
    '',
    '    # Uploads are passed on while they arrive.',
    ...location(UPLOAD_PATTERN, [
      `client_max_body_size ${Math.max(model.uploadBytesMax, OTHER_BODY_BYTES_MAX)};`,
      'proxy_request_buffering off;',
    ]),
    ...(longPolls.length === 0
      ? []
      : [
          '    # Long polls.',
          ...location(longPolls.join('|'), [`proxy_read_timeout ${LONG_POLL_TIMEOUT_S}s;`, 'proxy_buffering off;']),
        ]),
    ...location(PUBLIC_PATTERN, []),
    '    # All else, replication and metrics among it, is no business of anybody outside.',
    '    location / {',
    '        return 404;',
    '    }',
    '}',
  ]
}

function location(pattern: string, settings: readonly string[]): string[] {
  return [
    `    location ~ ${quote(pattern)} {`,
    '        if ($ganglion_target = "") {',
    '            return 404;',
    '        }',
    ...settings.map((line) => `        ${line}`),
    '        # No path after this, not even a slash: the processes must see the path as it was sent, for signatures of other servers.',
    '        proxy_pass $ganglion_target;',
    '    }',
  ]
}

function tls({ tls: given }: ProxyModel): string[] {
  if (given === undefined) return []
  return [
    `    ssl_certificate ${given.certificate};`,
    `    ssl_certificate_key ${given.key};`,
    '    ssl_protocols TLSv1.2 TLSv1.3;',
    '    ssl_session_cache shared:ganglion_tls:10m;',
    '    ssl_session_timeout 1d;',
  ]
}

/** Inside quotes, nginx takes a backslash before anything but a quote, a backslash and a few letters as it stands. */
function quote(text: string): string {
  return `"${text.replaceAll('"', '\\"')}"`
}
