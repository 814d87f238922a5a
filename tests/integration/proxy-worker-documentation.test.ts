import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ENDPOINT_GROUPS } from '../../src/api/endpoint-groups.ts'
import { buildProxyModel } from '../../src/process/proxy-config/model.ts'
import type { PooledRoute, ProxyModel } from '../../src/process/proxy-config/model.ts'
import { findRoute } from '../../src/process/proxy-config/routes.ts'
import { parseUserId } from '../../src/protocol/ids.ts'
import { makeToken } from '../../src/services/accounts/tokens.ts'
import { systemRandom } from '../../src/util/random.ts'
import { repositoryPath } from '../kit/environment.ts'
import { RunningProxy } from '../kit/proxy-runner.ts'
import { ProxyTopology, WISHED_POOLS } from '../kit/proxy-topology.ts'

let topology: ProxyTopology
let model: ProxyModel
beforeAll(async () => {
  topology = await ProxyTopology.start()
  model = buildProxyModel(topology.read(), { listen: ['8080'], pools: WISHED_POOLS })
})
afterAll(() => topology[Symbol.asyncDispose]())

/** Which of our groups the headings of that documentation may fall into. */
const GROUPS_OF_HEADING: Readonly<Record<string, readonly string[]>> = {
  sync: ['sync', 'initial_sync', 'events_stream'],
  federation: ['federation_reads', 'federation_membership', 'keys'],
  federation_send: ['federation_send'],
  client: ['client_reads', 'event_sending', 'account', 'devices', 'room_messages', 'server'],
  admin: ['admin'],
  encryption: ['encryption'],
  login: ['login', 'account'],
  event_sending: ['event_sending', 'client_reads', 'account'],
  user_directory: ['user_directory'],
  delayed_events: ['delayed_events'],
  push_rules: ['push_rules'],
  account_data: ['account_data'],
  presence: ['presence'],
  pagination: ['room_messages'],
  sso: ['sso'],
  media: ['media', 'media_admin'],
  'writer:device_lists': ['devices', 'encryption'],
  'writer:quarantined_media_changes': ['media_admin'],
}

const PATTERNS = readFileSync(repositoryPath('tests/vectors/worker-endpoints.txt'), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => {
    const [heading = '', pattern = ''] = line.split(' ')
    return { heading, pattern }
  })

/** Paths that the pattern matches: one for every combination of its alternatives. */
function expand(pattern: string): string[] {
  const alternatives = /^(.*?)\(([^()]*)\)(\?)?(.*)$/.exec(pattern)
  if (alternatives) {
    const [, before = '', inner = '', optional, after = ''] = alternatives
    return [...inner.split('|'), ...(optional === undefined ? [] : [''])].flatMap((choice) =>
      expand(`${before}${choice}${after}`),
    )
  }
  const isClosed = pattern.endsWith('$')
  const path = pattern
    .replace(/^\^/, '')
    // Written for every owner of tags and account data; only users have them.
    .replace(/\.\*\/(tags|account_data)/, 'user/@user:example.com/$1')
    .replaceAll('$', '')
    .replaceAll('[^/]+', '!room:example.com')
    .replaceAll('.*', '!room:example.com')
  return isClosed || !path.endsWith('/') ? [path] : [`${path}value`]
}

test('every path pattern of the documentation has a rule of its own, and its requests go where it wants them (LB-16, WE-01…WE-16, N-04)', () => {
  const wrong: string[] = []
  for (const { heading, pattern } of PATTERNS) {
    const groups = GROUPS_OF_HEADING[heading] ?? [heading.replace('writer:', '')]
    for (const path of expand(pattern)) {
      expect(path).toMatch(new RegExp(pattern))
      for (const method of ['GET', 'PUT', 'POST']) {
        const route = findRoute(model.routes, method, path)
        if (route === undefined || !groups.includes(route.group))
          wrong.push(`${heading} ${method} ${path}: ${route?.group ?? 'nobody'}`)
      }
    }
  }
  expect(wrong).toEqual([])
  expect(PATTERNS).toHaveLength(114)
})

test('what the documentation wants at the writer of a stream goes to that writer (LB-12)', () => {
  const wrong: string[] = []
  for (const { heading, pattern } of PATTERNS.filter(
    (it) => it.heading.startsWith('writer:') && !it.heading.includes('quarantined'),
  )) {
    const writer = `${heading.replace('writer:', '')}1`
    for (const path of expand(pattern)) {
      const route = findRoute(model.routes, 'PUT', path) as PooledRoute | undefined
      const members = route?.pool.members.map(({ process }) => process) ?? []
      if (members.length !== 1 || members[0] !== writer) wrong.push(`${path}: ${members.join(', ')}`)
    }
  }
  expect(wrong).toEqual([])
})

test('every group of endpoints has a rule', () => {
  const used = new Set(model.routes.map(({ group }) => group))
  expect(Object.keys(ENDPOINT_GROUPS).filter((group) => !used.has(group as never))).toEqual([])
})

test('an nginx that balances as the documentation shows, by `since` and by the user in the token, works with our tokens (LB-01, LB-03, LB-04)', async () => {
  const port = await topology.freePort()
  const addressOf = (name: string): string => `server 127.0.0.1:${topology.ports.get(name) ?? 0};`
  const proxy = await RunningProxy.start(
    'nginx',
    `events {}
http {
map $arg_since $pool { default incremental; "" full; }
map $arg_access_token $user_in_query { default $arg_access_token; "~^syt_(?<in_query>.*?)_" $in_query; }
map $http_authorization $user { default $http_authorization; "" $user_in_query; "~^Bearer syt_(?<in_header>.*?)_" $in_header; }
upstream incremental { hash $user consistent; ${addressOf('sync1')} ${addressOf('sync2')} }
upstream full { hash $user consistent; ${addressOf('generic1')} ${addressOf('generic2')} }
server {
  listen 127.0.0.1:${port};
  location ~ ^/_matrix/client/(r0|v3)/sync$ { proxy_pass http://$pool; }
  location ~ ^/_matrix/client/(api/v1|r0|v3)/initialSync$ { proxy_pass http://full; }
  location / { proxy_pass http://127.0.0.1:${topology.ports.get('main') ?? 0}; }
}
}
`,
    port,
  )
  try {
    const used = new Set<string | undefined>()
    for (let number = 0; number < 16; number += 1) {
      const user = parseUserId(`@user${number}:example.com`)
      const [phone, laptop] = [makeToken('syt', user, systemRandom), makeToken('syt', user, systemRandom)]
      const headers = { authorization: `Bearer ${phone}` }
      const incremental = (await proxy.send('GET', '/_matrix/client/v3/sync?since=s1', { headers })).process
      expect((await proxy.send('GET', `/_matrix/client/r0/sync?since=s2&access_token=${laptop}`)).process).toBe(incremental)
      const full = (await proxy.send('GET', '/_matrix/client/v3/sync', { headers })).process
      expect((await proxy.send('GET', `/_matrix/client/r0/initialSync?access_token=${laptop}`)).process).toBe(full)
      used.add(incremental).add(full)
    }
    expect([...used].toSorted()).toEqual(['generic1', 'generic2', 'sync1', 'sync2'])
  } finally {
    await proxy.stop()
  }
})
