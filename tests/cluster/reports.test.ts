import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TopologyReport } from '../../src/api/replication/process-status.ts'
import { METRICS } from '../../src/process/metrics.ts'
import { LISTENING_LAYOUT } from '../kit/cluster-layout.ts'
import { SocketCluster } from '../kit/socket-cluster.ts'

/** What administrators learn of the processes: metrics, the topology, and where a marked request landed. */

const PROCESSES = ['main', ...LISTENING_LAYOUT.workers.map(({ name }) => name)].toSorted()
const METRICS_PATH = '/_synapse/metrics'
const LAYOUT = {
  ...LISTENING_LAYOUT,
  workers: LISTENING_LAYOUT.workers.map((worker) => ({ ...worker, resources: [...worker.resources, 'metrics'] })),
}
let cluster: SocketCluster
let token: string
let admin: string
beforeAll(async () => {
  cluster = await SocketCluster.start(LAYOUT, { enable_metrics: true })
  token = await cluster.register('generic1', 'alice')
  admin = await cluster.registerAdmin('main', 'root')
})
afterAll(() => cluster[Symbol.asyncDispose]())

async function readTopology(): Promise<TopologyReport> {
  const answer = await cluster.send('main', 'GET', '/_synapse/admin/v1/topology', { token: admin })
  expect(answer.status).toBe(200)
  return JSON.parse(answer.text) as TopologyReport
}

/** The value of a sample: its name with the labels as they stand in the text. */
async function readMetric(process: string, sample: string): Promise<number | undefined> {
  const { text } = await cluster.send(process, 'GET', METRICS_PATH)
  const line = text.split('\n').find((one) => one.startsWith(`${sample} `))
  return line === undefined ? undefined : Number(line.slice(sample.length + 1))
}

test('administrators, and nobody else, see every process with its heads, and who holds which role (N-07)', async () => {
  const path = '/_synapse/admin/v1/topology'
  expect(await cluster.send('main', 'GET', path, { token })).toMatchObject({ status: 403 })
  expect(await cluster.send('main', 'GET', path)).toMatchObject({ status: 401 })
  await expect.poll(async () => (await readTopology()).members.map(({ instance }) => instance)).toEqual(PROCESSES)
  const topology = await readTopology()
  for (const { status, version, draining } of topology.members) {
    expect(status).toMatchObject({ transport: 'redis', queues: {} })
    expect(status?.heads['events']).toHaveLength(1)
    expect(version).not.toBe('')
    expect(draining).toBe(false)
  }
  await expect
    .poll(async () => (await readTopology()).roles.find(({ role }) => role === 'user_directory')?.holder)
    .toBe('background1')
})

test('all processes reach the same heads', async () => {
  const { status } = await cluster.send('generic2', 'POST', '/_matrix/client/v3/createRoom', { token, body: '{}' })
  expect(status).toBe(200)
  await expect.poll(async () => (await readTopology()).members.flatMap(({ behind }) => Object.keys(behind))).toEqual([])
})

test('metrics count requests, forwarded ones, commits, frames and calls, each in the process where it happened', async () => {
  const servlet = 'synapse_http_server_response_count_total{method="GET",servlet="getTokenOwner",tag=""}'
  const before = (await readMetric('generic1', servlet)) ?? 0
  await cluster.send('generic1', 'GET', '/_matrix/client/v3/account/whoami', { token })
  expect(await readMetric('generic1', servlet)).toBe(before + 1)
  await cluster.send('persister1', 'GET', '/_matrix/client/v3/account/whoami', { token })
  expect(await readMetric('persister1', 'http_forwarded_total{endpoint="getTokenOwner"}')).toBe(1)
  expect(await readMetric('generic1', 'http_forwarded_total{endpoint="getTokenOwner"}')).toBeUndefined()
  const commits = 'commit_batch_size_count{stream="events"}'
  const [one = 0, two = 0] = [await readMetric('persister1', commits), await readMetric('persister2', commits)]
  expect(one + two).toBeGreaterThan(0)
  expect(await readMetric('generic2', commits)).toBeUndefined()
  expect(await readMetric('generic1', 'repl_frames_total{dir="in"}')).toBeGreaterThan(0)
  expect(await readMetric('generic2', 'rpc_seconds_count{method="events.persist",code="ok"}')).toBeGreaterThan(0)
  expect(await readMetric('main', 'member_up{instance="streams1"}')).toBeUndefined()
  expect(await readMetric('generic1', 'member_up{instance="streams1"}')).toBe(1)
})

test('every process tells every metric, once, as Prometheus reads it', async () => {
  for (const process of PROCESSES.filter((name) => name !== 'main')) {
    const { status, text, headers } = await cluster.send(process, 'GET', METRICS_PATH)
    expect(status).toBe(200)
    expect(headers['content-type']).toContain('text/plain; version=0.0.4')
    for (const { name, type } of METRICS) expect(text.split(`# TYPE ${name} ${type}\n`)).toHaveLength(2)
    const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
    expect(new Set(samples.map((line) => line.slice(0, line.lastIndexOf(' ')))).size).toBe(samples.length)
    for (const line of samples) expect(line).toMatch(/^[a-z_]+(\{([a-z]+="[^"]*",?)*\})? (-?[0-9.e+-]+|\+Inf)$/)
  }
})

test('a commit of events is one message to the other processes (I12)', async () => {
  for (const process of ['persister1', 'persister2']) {
    const { text } = await cluster.send(process, 'GET', METRICS_PATH)
    const sum = (pattern: RegExp): number => [...text.matchAll(pattern)].reduce((total, [, value]) => total + Number(value), 0)
    const commits = sum(/^commit_batch_size_count\{[^}]*\} (\d+)$/gm)
    expect(sum(/^repl_frames_total\{dir="out"\} (\d+)$/gm)).toBe(commits)
  }
})

test('metrics are not told by listeners without that resource', async () => {
  expect(await cluster.send('main', 'GET', METRICS_PATH)).toMatchObject({ status: 404 })
})

test('a marked request is told where it landed, also when another process has answered it', async () => {
  const headers = { 'x-ganglion-doctor': '1' }
  for (const process of ['main', 'generic1', 'persister1', 'media1']) {
    const answer = await cluster.send(process, 'GET', '/_matrix/client/versions', { headers })
    expect(answer.headers['x-ganglion-process']).toBe(process)
    const plain = await cluster.send(process, 'GET', '/_matrix/client/versions')
    expect(plain.headers['x-ganglion-process']).toBeUndefined()
  }
})
