import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { examine } from '../../src/process/doctor/doctor.ts'
import { systemClock } from '../../src/util/clock.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ganglion-doctor-'))
  mkdirSync(join(directory, 'workers'))
})
afterEach(() => rmSync(directory, { recursive: true }))

const SHARED = `server_name: example.com
public_baseurl: https://matrix.example.com/
media_store_path: /tmp
listeners:
  - { type: http, port: 8008, bind_addresses: ['127.0.0.1'], x_forwarded: true, resources: [{ names: [client, federation] }] }
  - { type: http, port: 9093, bind_addresses: ['127.0.0.1'], resources: [{ names: [replication] }] }
worker_replication_secret: a long text that nobody guesses
redis: { enabled: true }
instance_map:
  main: { host: localhost, port: 9093 }
  typing1: { host: localhost, port: 9094 }
stream_writers:
  typing: typing1
`
const TYPING = `worker_app: synapse.app.generic_worker
worker_name: typing1
worker_listeners:
  - { type: http, port: 9094, bind_addresses: ['127.0.0.1'], resources: [{ names: [replication] }] }
  - { type: http, port: 8009, bind_addresses: ['127.0.0.1'], x_forwarded: true, resources: [{ names: [client] }] }
`
const MEDIA = `worker_app: synapse.app.media_repository
worker_name: media1
worker_listeners:
  - { type: http, port: 8010, bind_addresses: ['127.0.0.1'], resources: [{ names: [media] }] }
`

/** Looks at the files as they are, or with one mistake. Places begin with the name of the file alone. */
async function examineFiles(files: Readonly<Record<string, string>> = {}): Promise<string[]> {
  for (const [name, text] of Object.entries({ 'shared.yaml': SHARED, 'workers/typing.yaml': TYPING, ...files }))
    writeFileSync(join(directory, name), text)
  const findings = await examine({
    shared: [join(directory, 'shared.yaml')],
    workersDirectory: join(directory, 'workers'),
    isOffline: true,
    isProxyAsked: false,
    clock: systemClock,
    connectionOf: () => {
      throw new Error('offline')
    },
  })
  return findings.map(({ severity, text }) => `${severity} ${text.replaceAll(`${directory}/`, '').replaceAll('workers/', '')}`)
}

test('a configuration without mistakes has no findings', async () => {
  expect(await examineFiles()).toEqual([])
})

interface Mistake {
  readonly what: string
  /** File, what stands there rightly, what stands there instead. */
  readonly change: readonly [file: 'shared.yaml' | 'typing.yaml', right: string, wrong: string]
  readonly finding: RegExp
  readonly more?: Readonly<Record<string, string>>
}

const MISTAKES: readonly Mistake[] = [
  {
    what: 'a misspelt option',
    change: ['shared.yaml', 'public_baseurl:', 'public_base_url:'],
    finding: /^error shared\.yaml:2:1: public_base_url: .*did you mean `public_baseurl`/,
  },
  {
    what: 'a misspelt option inside another',
    change: ['shared.yaml', '{ host: localhost, port: 9094 }', '{ hots: localhost, port: 9094 }'],
    finding: /^error shared\.yaml:11:\d+: instance_map\.typing1\.hots: .*did you mean `host`/,
  },
  {
    what: 'a value of the wrong kind',
    change: ['shared.yaml', 'port: 8008', 'port: http'],
    finding: /^error shared\.yaml:5:\d+: listeners\[0\]\.port: expected/,
  },
  {
    what: 'text that is no YAML',
    change: ['shared.yaml', 'stream_writers:', 'stream_writers: ]'],
    finding: /^error shared\.yaml:12:\d+: this is not valid YAML/,
  },
  {
    what: 'an unknown kind of worker',
    change: ['typing.yaml', 'generic_worker', 'genric_worker'],
    finding: /^error typing\.yaml:1:\d+: worker_app: .*did you mean `synapse\.app\.generic_worker`/,
  },
  {
    what: 'an unknown listener resource',
    change: ['typing.yaml', '[client]', '[clients]'],
    finding: /^error typing\.yaml:5:\d+: .*there is no resource "clients"/,
  },
  {
    what: 'a writer that instance_map lacks',
    change: ['shared.yaml', '  typing: typing1', '  typing: typing2'],
    finding: /^error shared\.yaml:1[23]:\d+: stream_writers.*typing2/,
  },
  {
    what: 'a role for a worker that does not exist',
    change: ['shared.yaml', 'redis:', 'pusher_instances: [typing11]\nredis:'],
    finding: /^error shared\.yaml:8:1: pusher_instances: names typing11.*did you mean typing1\?/,
  },
  {
    what: 'an instance without a file',
    change: ['shared.yaml', 'stream_writers:', '  ghost: { host: localhost, port: 9099 }\nstream_writers:'],
    finding: /^warning shared\.yaml:12:3: instance_map\.ghost: no worker's file has this name/,
  },
  {
    what: 'another port in instance_map than the listener has',
    change: ['shared.yaml', 'port: 9094', 'port: 9095'],
    finding: /^error shared\.yaml:11:3: instance_map\.typing1: says 9095, and typing1 listens for replication on 9094/,
  },
  {
    what: 'a main process without a replication listener',
    change: ['shared.yaml', '[replication]', '[metrics]'],
    finding: /^error shared\.yaml:10:3: instance_map\.main: main has no listener with the resource replication/,
  },
  {
    what: 'a writer that the others cannot reach',
    change: ['typing.yaml', '[replication]', '[health]'],
    finding: /^error typing\.yaml:[34]:\d+: worker_listeners: typing1 writes typing/,
  },
  {
    what: 'instance_map without main',
    change: ['shared.yaml', '  main: { host: localhost, port: 9093 }\n', ''],
    finding: /^error shared\.yaml:\d+:\d+: instance_map: it does not say where the main process is/,
  },
  {
    what: 'two workers of one name',
    change: ['typing.yaml', '', ''],
    more: { 'workers/typing-copy.yaml': TYPING.replace('9094', '9098').replace('8009', '8098') },
    finding: /^error typing\.yaml:2:1: worker_name: .*typing-copy\.yaml are both called typing1/,
  },
  {
    what: 'a port that is used twice',
    change: ['typing.yaml', 'port: 8009', 'port: 8008'],
    finding: /^error typing\.yaml:3:1: worker_listeners: port 8008 is taken by main/,
  },
  {
    what: 'no secret',
    change: ['shared.yaml', 'worker_replication_secret: a long text that nobody guesses\n', ''],
    finding: /^error shared\.yaml: worker_replication_secret: it is missing/,
  },
  {
    what: 'a secret that can be guessed',
    change: ['shared.yaml', 'a long text that nobody guesses', 'secret'],
    finding: /^warning shared\.yaml:7:1: worker_replication_secret: it is short enough to be guessed/,
  },
  {
    what: 'replication open to everybody',
    change: ['typing.yaml', "port: 9094, bind_addresses: ['127.0.0.1']", "port: 9094, bind_addresses: ['0.0.0.0']"],
    finding: /^warning typing\.yaml:3:1: worker_listeners: replication on port 9094 listens on 0\.0\.0\.0/,
  },
  {
    what: 'metrics open to everybody',
    change: [
      'typing.yaml',
      'worker_listeners:',
      "worker_listeners:\n  - { type: metrics, port: 9100, bind_addresses: ['203.0.113.7'] }",
    ],
    finding: /^warning typing\.yaml:3:1: worker_listeners: metrics on port 9100 listens on 203\.0\.113\.7/,
  },
  {
    what: 'replication on the port of clients',
    change: ['typing.yaml', '[replication]', '[replication, client]'],
    finding: /^warning typing\.yaml:3:1: worker_listeners: port 9094 serves clients and replication/,
  },
  {
    what: 'workers without Redis',
    change: ['shared.yaml', 'redis: { enabled: true }', 'redis: { enabled: false }'],
    finding: /^error (?:shared|typing)\.yaml:\d+:\d+: .*Redis is not enabled/,
  },
  {
    what: 'a worker option in the shared file',
    change: ['shared.yaml', 'redis:', 'worker_app: synapse.app.generic_worker\nredis:'],
    finding: /^error shared\.yaml:8:1: worker_app: makes a worker of every process/,
  },
  {
    what: 'a shared option in a worker file',
    change: ['typing.yaml', 'worker_name:', 'stream_writers: { typing: [typing1, main] }\nworker_name:'],
    finding: /^error typing\.yaml:2:1: stream_writers: differs from/,
  },
  {
    what: 'the listeners of the main process in a worker file',
    change: ['typing.yaml', 'worker_name:', 'listeners: []\nworker_name:'],
    finding: /^error typing\.yaml:2:1: listeners: .*write `worker_listeners`/,
  },
  {
    what: 'nobody who sends to other servers',
    change: ['shared.yaml', 'redis:', 'send_federation: false\nredis:'],
    finding: /^error shared\.yaml:8:1: send_federation: nobody sends to other servers/,
  },
  {
    what: 'nobody who sends push notifications',
    change: ['shared.yaml', 'redis:', 'start_pushers: false\nredis:'],
    finding: /^error shared\.yaml:8:1: start_pushers: nobody sends push notifications/,
  },
  {
    what: 'nobody who serves media',
    change: ['shared.yaml', 'redis:', 'enable_media_repo: false\nredis:'],
    finding: /^warning shared\.yaml:8:1: enable_media_repo: nobody serves media/,
  },
  {
    what: 'two media workers and nobody named to tidy up',
    change: ['shared.yaml', 'redis:', 'enable_media_repo: false\nredis:'],
    more: {
      'workers/media1.yaml': MEDIA,
      'workers/media2.yaml': MEDIA.replace('media1', 'media2').replace('8010', '8011'),
    },
    finding: /^warning shared\.yaml: media_instance_running_background_jobs: media1 and media2 serve media/,
  },
  {
    what: 'a listener that does not trust its proxy',
    change: ['typing.yaml', ' x_forwarded: true,', ''],
    finding: /^warning typing\.yaml:3:1: worker_listeners: port 8009 has no `x_forwarded: true`/,
  },
  {
    what: 'TLS without a certificate',
    change: ['typing.yaml', ' x_forwarded: true,', ' tls: true,'],
    finding: /^error shared\.yaml: tls_certificate_path: a listener has `tls: true`/,
  },
  {
    what: 'a log configuration that is not there',
    change: ['shared.yaml', 'redis:', 'log_config: /nowhere/log.yaml\nredis:'],
    finding: /^error shared\.yaml:8:1: log_config: \/nowhere\/log\.yaml cannot be read/,
  },
  {
    what: 'an option that this server does not have',
    change: ['shared.yaml', 'redis:', 'modules: []\nredis:'],
    finding: /^warning shared\.yaml:8:1: modules: /,
  },
]

test.each(MISTAKES)('$what is found, with file and line', async ({ change: [file, right, wrong], finding, more = {} }) => {
  const original = file === 'shared.yaml' ? SHARED : TYPING
  expect(original).toContain(right)
  const path = file === 'shared.yaml' ? file : `workers/${file}`
  const findings = await examineFiles({ [path]: original.replace(right, wrong), ...more })
  expect(findings).toContainEqual(expect.stringMatching(finding))
  // One line each.
  expect(findings.filter((text) => text.includes('\n'))).toEqual([])
})

test('there are at least the 25 mistakes that were asked for', () => {
  expect(MISTAKES.length).toBeGreaterThanOrEqual(25)
})
