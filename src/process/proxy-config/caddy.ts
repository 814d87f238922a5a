import type { Balance } from '../../api/endpoint-groups.ts'
import type { ProxyMember } from './members.ts'
import type { PooledRoute, ProxyAddress, ProxyModel, ProxyPool } from './model.ts'
import { PUBLIC_PATTERN, ROOM_OF_PATH, UPLOAD_PATTERN, USER_OF_TOKEN } from './routes.ts'
import { ERRORS_OF_PROXY, LONG_POLL_TIMEOUT_S, OTHER_BODY_BYTES_MAX, PRIVATE_HEADERS, REQUEST_TIMEOUT_S } from './settings.ts'

const USER_HEADER = 'X-Ganglion-User'
const ROOM_HEADER = 'X-Ganglion-Room'
const POLICY: Readonly<Record<Balance, string>> = {
  any: 'round_robin',
  user: `header ${USER_HEADER}`,
  room: `header ${ROOM_HEADER}`,
  source: 'ip_hash',
}

/** Writes a Caddyfile, for Caddy 2.7 or later. */
export function writeCaddy(model: ProxyModel): string {
  return `${[
    ...model.pools.flatMap(snippet),
    '(ganglion) {',
    '    # In this order, whatever Caddy would do first by itself.',
    '    route {',
    ...[...keys(), ...guards(model), ...model.routes.flatMap(handle)].map((line) => `        ${line}`),
    '    }',
    ...errors(),
    '}',
    ...site(
      model.listen.filter(({ isTls }) => !isTls),
      [],
    ),
    ...site(
      model.listen.filter(({ isTls }) => isTls),
      model.tls ? [`    tls ${model.tls.certificate} ${model.tls.key}`] : [],
    ),
  ].join('\n')}\n`
}

/** Addresses with TLS and without it cannot share a site. */
function site(listen: readonly ProxyAddress[], settings: readonly string[]): string[] {
  if (listen.length === 0) return []
  return [`${listen.map(siteAddress).join(', ')} {`, ...settings, '    import ganglion', '}']
}

function siteAddress({ address, isTls }: ProxyAddress): string {
  return `${isTls ? 'https' : 'http'}://${/^[0-9]+$/.test(address) ? `:${address}` : address}`
}

/** Caddy balances by headers: what the client sends in ours is thrown away. */
function keys(): string[] {
  return [
    `request_header -${USER_HEADER}`,
    `request_header -${ROOM_HEADER}`,
    '# What our processes tell each other, and nobody else.',
    ...PRIVATE_HEADERS.map((name) => `request_header -${name}`),
    '# Tokens are syt_<user>_<random>_<checksum>, in the header or, from old clients, in the query. Others count as a whole.',
    '@query_token query access_token=*',
    `@query_user vars_regexp query_user {query.access_token} \`^${USER_OF_TOKEN}\``,
    '@header_token header Authorization *',
    `@header_user header_regexp header_user Authorization \`(?i)^Bearer +${USER_OF_TOKEN}\``,
    `request_header @query_token ${USER_HEADER} {query.access_token}`,
    `request_header @query_user ${USER_HEADER} {re.query_user.1}`,
    `request_header @header_token ${USER_HEADER} {header.Authorization}`,
    `request_header @header_user ${USER_HEADER} {re.header_user.1}`,
    `@room path_regexp room \`${ROOM_OF_PATH}\``,
    `request_header ${ROOM_HEADER} {http.request.uuid}`,
    `request_header @room ${ROOM_HEADER} {re.room.1}`,
    '',
  ]
}

function guards({ uploadBytesMax }: ProxyModel): string[] {
  return [
    '# All else, replication and metrics among it, is no business of anybody outside.',
    `@private not path_regexp \`${PUBLIC_PATTERN}\``,
    'error @private 404',
    `@upload path_regexp \`${UPLOAD_PATTERN}\``,
    `@no_upload not path_regexp \`${UPLOAD_PATTERN}\``,
    'request_body @upload {',
    `    max_size ${Math.max(uploadBytesMax, OTHER_BODY_BYTES_MAX)}`,
    '}',
    'request_body @no_upload {',
    `    max_size ${OTHER_BODY_BYTES_MAX}`,
    '}',
    '',
    '# Which processes serve what: method and path, the first block that matches.',
  ]
}

function handle(route: PooledRoute, index: number): string[] {
  const block = (name: string, more: readonly string[], pool: ProxyPool): string[] => [
    `@${name} {`,
    ...(route.methods ? [`    method ${route.methods.join(' ')}`] : []),
    `    path_regexp \`${route.pattern}\``,
    ...more,
    '}',
    `handle @${name} {`,
    `    import ${pool.name}`,
    '}',
  ]
  if (route.poolWithoutSince === undefined) return block(`route_${index}`, [], route.pool)
  return [
    '# Without `since` everything is sent: these requests are apart, and do not slow down the others.',
    ...block(`route_${index}`, ['    query since=*', '    not query since='], route.pool),
    ...block(`route_${index}_without_since`, [], route.poolWithoutSince),
  ]
}

function snippet(pool: ProxyPool): string[] {
  const addressOf = ({ address, isSocket }: ProxyMember): string =>
    isSocket ? `unix/${address}` : `${pool.isTls ? 'https://' : ''}${address}`
  return [
    `(${pool.name}) {`,
    '    reverse_proxy {',
    ...pool.members.map((member) => `        to ${addressOf(member)} # ${member.process}`),
    ...(pool.members.length > 1
      ? [
          `        lb_policy ${POLICY[pool.balance]}`,
          '        lb_retries 2',
          '        lb_try_duration 20s',
          '        fail_duration 2s',
          '        max_fails 3',
        ]
      : []),
    '        health_uri /health',
    '        health_interval 2s',
    '        health_status 200',
    `        header_up -${USER_HEADER}`,
    `        header_up -${ROOM_HEADER}`,
    '        header_up X-Request-Id {http.request.uuid}',
    '        # Answers leave as they come.',
    '        flush_interval -1',
    '        transport http {',
    '            dial_timeout 3s',
    `            response_header_timeout ${pool.isLongPoll ? LONG_POLL_TIMEOUT_S : REQUEST_TIMEOUT_S}s`,
    ...(pool.isTls ? ['            tls_insecure_skip_verify'] : []),
    '        }',
    '    }',
    '}',
  ]
}

function errors(): string[] {
  return [
    '    handle_errors {',
    '        header Access-Control-Allow-Origin *',
    '        header Content-Type application/json',
    ...ERRORS_OF_PROXY.flatMap(({ statuses, name, body }) => [
      `        @${name} expression \`{err.status_code} in [${statuses.join(', ')}]\``,
      `        respond @${name} \`${body}\` {err.status_code}`,
    ]),
    '    }',
  ]
}
