import type { Balance } from '../../api/endpoint-groups.ts'
import type { ProxyMember } from './members.ts'
import type { PooledRoute, ProxyModel, ProxyPool } from './model.ts'
import { PUBLIC_PATTERN, ROOM_OF_PATH, UPLOAD_PATTERN, USER_OF_TOKEN } from './routes.ts'
import { ERRORS_OF_PROXY, LONG_POLL_TIMEOUT_S, OTHER_BODY_BYTES_MAX, PRIVATE_HEADERS, REQUEST_TIMEOUT_S } from './settings.ts'

const BALANCE: Readonly<Record<Exclude<Balance, 'any'>, string>> = {
  user: 'hash var(txn.ganglion_user)',
  room: 'hash var(txn.ganglion_room)',
  source: 'hash src',
}

/** Writes a configuration of HAProxy, 2.6 or later. */
export function writeHaproxy(model: ProxyModel): string {
  return `${[...GENERAL, ...frontend(model), ...model.pools.flatMap(backend), ...NOBODY].join('\n')}\n`
}

const GENERAL: readonly string[] = [
  'global',
  '    # As many connections as `ulimit -n` allows: long polls need two each.',
  '    # Filters in queries are long.',
  '    tune.bufsize 65536',
  '    ssl-default-bind-options ssl-min-ver TLSv1.2',
  '',
  'defaults',
  '    mode http',
  '    timeout connect 3s',
  `    timeout client ${LONG_POLL_TIMEOUT_S}s`,
  '    timeout http-request 30s',
  '    timeout http-keep-alive 75s',
  `    timeout server ${REQUEST_TIMEOUT_S}s`,
  '    timeout queue 20s',
  '    option forwardfor',
  '    # Another process is tried where none was reached, and, unless it is a POST, where one broke off or is starting or stopping.',
  '    option redispatch 1',
  '    retries 2',
  '    retry-on conn-failure empty-response 503',
  '',
]

function frontend(model: ProxyModel): string[] {
  const tooLarge = ERRORS_OF_PROXY.find(({ name }) => name === 'too_large')
  return [
    'frontend ganglion',
    // HAProxy finds the key by itself beside the certificate; naming both is for versions that few have yet.
    ...(model.tls
      ? [`    # The key ${model.tls.key} must stand in the same file, or beside it as ${model.tls.certificate}.key`]
      : []),
    ...model.listen.map(
      ({ address, isTls }) =>
        `    bind ${bindAddress(address)}${isTls ? ` ssl crt ${model.tls?.certificate ?? ''} alpn h2,http/1.1` : ''}`,
    ),
    '    http-request del-header X-Forwarded-For',
    '    http-request set-header X-Forwarded-Proto https if { ssl_fc }',
    '    http-request set-header X-Forwarded-Proto http if !{ ssl_fc }',
    '    http-request set-header X-Forwarded-Host %[req.hdr(Host)]',
    '    http-request set-header X-Request-Id %[uuid()]',
    '    # What our processes tell each other, and nobody else.',
    ...PRIVATE_HEADERS.map((name) => `    http-request del-header ${name}`),
    '    # A POST that was sent is never sent again.',
    '    http-request disable-l7-retry if METH_POST',
    '',
    '    http-request set-var(txn.ganglion_path) path,url_dec',
    '    http-request set-var-fmt(txn.ganglion_request) "%[method] %[path,url_dec]"',
    '    # Tokens are syt_<user>_<random>_<checksum>, in the header or, from old clients, in the query. Others count as a whole.',
    '    http-request set-var(txn.ganglion_user) url_param(access_token)',
    `    http-request set-var(txn.ganglion_user) url_param(access_token),field(2,_) if { url_param(access_token) -m reg ${quote(`^${USER_OF_TOKEN}`)} }`,
    '    http-request set-var(txn.ganglion_user) req.fhdr(Authorization) if { req.fhdr(Authorization) -m found }',
    `    http-request set-var(txn.ganglion_user) req.fhdr(Authorization),field(2,_) if { req.fhdr(Authorization) -m reg -i ${quote(`^Bearer +${USER_OF_TOKEN}`)} }`,
    `    http-request set-var(txn.ganglion_room) ${quote(`path,url_dec,regsub("${ROOM_OF_PATH}.*$","\\1")`)} if { var(txn.ganglion_path) -m reg ${quote(ROOM_OF_PATH)} }`,
    '',
    `    acl ganglion_public var(txn.ganglion_path) -m reg ${quote(PUBLIC_PATTERN)}`,
    `    acl ganglion_odd path -m reg ${quote('/[.][.]?(/|$)')}`,
    `    acl ganglion_upload var(txn.ganglion_path) -m reg ${quote(UPLOAD_PATTERN)}`,
    '    # All else, replication and metrics among it, is no business of anybody outside.',
    '    http-request deny deny_status 404 if !ganglion_public or ganglion_odd',
    ...[
      [OTHER_BODY_BYTES_MAX, '!ganglion_upload'],
      [Math.max(model.uploadBytesMax, OTHER_BODY_BYTES_MAX), 'ganglion_upload'],
    ].map(
      ([bytes, condition]) =>
        `    http-request return status 413 content-type application/json string ${quote(tooLarge?.body ?? '')} hdr Access-Control-Allow-Origin * if ${condition} { req.body_size gt ${bytes} }`,
    ),
    ...ERRORS_OF_PROXY.filter(({ name }) => name !== 'too_large').flatMap(({ statuses, body }) =>
      statuses.map(
        (status) =>
          `    http-error status ${status} content-type application/json string ${quote(body)} hdr Access-Control-Allow-Origin *`,
      ),
    ),
    '',
    '    # Which processes serve what: method and path, the first line that matches.',
    ...model.routes.flatMap(useBackend),
    '    default_backend ganglion_nobody',
    '',
  ]
}

const NOBODY: readonly string[] = ['backend ganglion_nobody', '    http-request deny deny_status 404']

function bindAddress(address: string): string {
  return /^[0-9]+$/.test(address) ? `:${address}` : address
}

function useBackend({ methods, pattern, pool, poolWithoutSince }: PooledRoute): string[] {
  const method = methods === undefined ? '[A-Z]+' : `(?:${methods.join('|')})`
  const condition = `{ var(txn.ganglion_request) -m reg ${quote(`^${method} ${pattern.slice(1)}`)} }`
  if (poolWithoutSince === undefined) return [`    use_backend ${pool.name} if ${condition}`]
  return [
    '    # Without `since` everything is sent: these requests are apart, and do not slow down the others.',
    `    use_backend ${pool.name} if ${condition} { url_param(since) -m reg . }`,
    `    use_backend ${poolWithoutSince.name} if ${condition}`,
  ]
}

function backend(pool: ProxyPool): string[] {
  const server = (member: ProxyMember, more: string): string =>
    `    server ${member.process.replaceAll(/[^A-Za-z0-9_.:-]/g, '_')} ${member.isSocket ? `unix@${member.address}` : member.address}` +
    `${pool.isTls ? ' ssl verify none' : ''} check inter 2s fall 2 rise 1${more}`
  return [
    `backend ${pool.name}`,
    `    balance ${pool.balance === 'any' ? 'roundrobin' : BALANCE[pool.balance]}`,
    ...(pool.balance === 'any' ? [] : ['    hash-type consistent']),
    ...(pool.isLongPoll ? [`    timeout server ${LONG_POLL_TIMEOUT_S}s`] : []),
    '    option httpchk GET /health',
    '    http-check expect status 200',
    ...pool.members.map((member) => server(member, '')),
    ...pool.backups.map((member) => server(member, ' backup')),
    '',
  ]
}

/** Single quotes keep everything as it stands. */
function quote(text: string): string {
  return `'${text}'`
}
