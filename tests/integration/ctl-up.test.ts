import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { isProcessAlive } from '../../src/util/lock-file.ts'

const BIN = join(import.meta.dirname, '..', '..', 'bin')
const VERSIONS = '/_matrix/client/versions'
let directory: string
let ports: { main: number; replication: number; worker: number }
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'up-'))
  mkdirSync(join(directory, 'workers'))
  const [main = 0, replication = 0, worker = 0] = await findFreePorts(3)
  ports = { main, replication, worker }
  write('homeserver.yaml', {
    server_name: 'localhost',
    database: { name: 'embedded' },
    cluster: { transport: 'postgres' },
    worker_replication_secret: 'known to all',
    macaroon_secret_key: 'only for tests',
    instance_map: { main: { host: '127.0.0.1', port: replication } },
    listeners: [listener(main, 'client', 'federation'), listener(replication, 'replication')],
  })
  write('workers/worker1.yaml', {
    worker_app: 'synapse.app.generic_worker',
    worker_name: 'worker1',
    worker_listeners: [listener(worker, 'client')],
  })
})
afterEach(() => {
  run('ganglion', 'ctl', 'stop')
  rmSync(directory, { recursive: true, force: true })
})

function listener(port: number, ...names: readonly string[]): Record<string, unknown> {
  return { type: 'http', port, bind_addresses: ['127.0.0.1'], resources: [{ names }] }
}

async function findFreePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const found = servers.map((server) => (server.address() as AddressInfo).port)
  for (const server of servers) server.close()
  return found
}

/** YAML reads JSON as it is. */
function write(name: string, options: Readonly<Record<string, unknown>>): void {
  writeFileSync(join(directory, name), JSON.stringify(options, undefined, 2))
}

function run(program: string, ...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(join(BIN, program), args, { cwd: directory, encoding: 'utf8' })
}

interface Up {
  readonly child: ChildProcess
  readonly output: () => string
  stop(): Promise<number | null>
}

function up(...args: readonly string[]): Up {
  const child = spawn(join(BIN, 'ganglion'), ['up', '-c', 'homeserver.yaml', ...args], { cwd: directory })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const exited = once(child, 'exit') as Promise<[number | null]>
  return {
    child,
    output: () => output,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      return (await exited)[0]
    },
  }
}

async function until(condition: () => boolean | Promise<boolean>, describe: () => string = () => ''): Promise<void> {
  const deadlineMs = performance.now() + 90_000
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`it does not come true\n${describe()}`)
    await sleep(50)
  }
}

async function answers(port: number): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${port}${VERSIONS}`).catch(() => undefined)
  return response?.status === 200
}

interface Status {
  readonly supervisor: number | null
  readonly processes: readonly { instance: string; pid: number; state: string; restarts: number; ports: readonly number[] }[]
  /** How the processes see each other; null where none answers. */
  readonly topology: { readonly members: readonly { instance: string }[] } | null
}

function readStatus(): Status {
  return JSON.parse(run('ganglion', 'ctl', 'status', '--json').stdout) as Status
}

test('up runs main process and worker on one embedded database, starts again what crashes, and SIGTERM ends all within ten seconds', async () => {
  const running = up('-a', 'workers')
  try {
    await until(() => /^listening on http/m.test(running.output()), running.output)
    expect(running.output().match(/^listening on /gm)).toHaveLength(1)
    expect(running.output()).toMatch(/^worker1 \| listening on http/m)
    expect(await answers(ports.main)).toBe(true)
    expect(await answers(ports.worker)).toBe(true)

    const before = readStatus()
    expect(before.processes.map(({ instance, state }) => [instance, state])).toEqual([
      ['main', 'running'],
      ['worker1', 'running'],
    ])
    expect(before.processes[1]?.ports).toEqual([ports.worker])
    await until(
      () =>
        readStatus()
          .topology?.members.map(({ instance }) => instance)
          .join() === 'main,worker1',
      running.output,
    )
    const killed = before.processes[1]?.pid ?? 0
    process.kill(killed, 'SIGKILL')
    await until(async () => !isProcessAlive(killed) && (await answers(ports.worker)), running.output)
    expect(await answers(ports.main)).toBe(true)
    expect(readStatus().processes.map(({ restarts }) => restarts)).toEqual([0, 1])

    const pids = readStatus().processes.map(({ pid }) => pid)
    expect(await running.stop()).toBe(0)
    expect(pids.filter((pid) => isProcessAlive(pid))).toEqual([])
    expect(existsSync(join(directory, 'postgresql/postgres/cluster/postmaster.pid'))).toBe(false)
  } finally {
    await running.stop()
  }
})

test('ctl starts in the background, restarts one process after the other, and stop leaves nothing (W-21)', async () => {
  expect(run('ganglion', 'ctl', 'status')).toMatchObject({ status: 3 })
  const started = run('synctl', 'start', 'homeserver.yaml', '-a', 'workers')
  expect(started.stderr).toBe('')
  expect(started.status).toBe(0)
  expect(await answers(ports.main)).toBe(true)
  const before = readStatus()
  expect(run('ganglion', 'up', '-c', 'homeserver.yaml').stderr).toContain(`process ${before.supervisor} runs these`)

  const restarting = spawn(join(BIN, 'ganglion'), ['ctl', 'restart', '-a', 'workers'], { cwd: directory })
  const exited = once(restarting, 'exit') as Promise<[number]>
  const gaps: string[] = []
  while (restarting.exitCode === null) {
    // One of the two is there all the time.
    const [main, worker] = await Promise.all([answers(ports.main), answers(ports.worker)])
    if (!main && !worker && !(await answers(ports.main)) && !(await answers(ports.worker))) gaps.push('both were down')
    await sleep(20)
  }
  expect(await exited).toEqual([0, null])
  expect(gaps).toEqual([])
  const after = readStatus()
  expect(after.supervisor).toBe(before.supervisor)
  expect(after.processes.map(({ state, restarts }) => [state, restarts])).toEqual([
    ['running', 0],
    ['running', 0],
  ])
  for (const [index, { pid }] of after.processes.entries()) expect(pid).not.toBe(before.processes[index]?.pid)

  expect(run('synctl', 'stop', '-w', 'workers/worker1.yaml').status).toBe(0)
  expect(readStatus().processes.map(({ state }) => state)).toEqual(['running', 'stopped'])
  expect(run('synctl', 'start', '-w', 'workers/worker1.yaml').status).toBe(0)
  expect(await answers(ports.worker)).toBe(true)
  const { supervisor, processes } = readStatus()
  expect(run('ganglion', 'ctl', 'stop').status).toBe(0)
  expect([supervisor ?? 0, ...processes.map(({ pid }) => pid)].filter((pid) => isProcessAlive(pid))).toEqual([])
})

test('a worker with a wrong file is given up with its line, and refuses to take part in a rolling restart', async () => {
  write('workers/worker2.yaml', { worker_app: 'synapse.app.generic_worker', worker_name: 'worker2', worker_listners: [] })
  const running = up('-a', 'workers')
  try {
    await until(() => /^listening on http/m.test(running.output()), running.output)
    expect(running.output()).toMatch(/^worker2 \| .*worker2.yaml:4:3: worker_listners: .*did you mean `worker_listeners`/m)
    expect(running.output()).toMatch(/^worker2 \| the configuration is wrong/m)
    expect(await answers(ports.worker)).toBe(true)
    const restart = run('ganglion', 'ctl', 'restart', '-a', 'workers')
    expect(restart.status).toBe(78)
    expect(restart.stderr).toContain('worker_listners')
    expect(await answers(ports.main)).toBe(true)
  } finally {
    await running.stop()
  }
})

test('files that contradict each other, workers as main process and a main process as worker are refused before anything starts (W-18)', () => {
  write('workers/worker2.yaml', { worker_app: 'synapse.app.generic_worker', worker_name: 'worker1' })
  const twice = run('ganglion', 'up', '-c', 'homeserver.yaml', '-a', 'workers')
  expect(twice.status).toBe(78)
  expect(twice.stderr).toContain('both called worker1')
  const asMain = run('synapse_homeserver', '-c', 'homeserver.yaml', '-c', 'workers/worker1.yaml')
  expect(asMain).toMatchObject({ status: 78, stderr: expect.stringContaining('ganglion worker') as string })
  const asWorker = run('synapse_worker', '--config-path', 'homeserver.yaml')
  expect(asWorker).toMatchObject({ status: 78, stderr: expect.stringContaining('worker_app') as string })
  const alone = run('synapse_worker', '-c', 'homeserver.yaml', '-c', 'workers/worker1.yaml')
  expect(alone.status).toBe(1)
  expect(alone.stderr).toMatch(/signing key|embedded database/)
})

test('ctl units writes one unit for the embedded database, and a template for workers with an outside one (W-22)', () => {
  expect(run('ganglion', 'ctl', 'units', '-a', 'workers').stdout).toMatch(
    /Type=notify[^]*ExecStart=\S+ganglion up -c \S+homeserver.yaml -a \S+workers\n/,
  )
  const options = JSON.parse(readFileSync(join(directory, 'homeserver.yaml'), 'utf8')) as Record<string, unknown>
  write('homeserver.yaml', { ...options, database: { name: 'psycopg2', args: { database: 'ganglion' } } })
  const written = run('ganglion', 'ctl', 'units', '-a', 'workers', '-o', 'units', '--user', 'matrix')
  expect(written.stdout).toContain('enable --now ganglion.target ganglion ganglion-worker@worker1')
  const template = readFileSync(join(directory, 'units', 'ganglion-worker@.service'), 'utf8')
  for (const line of ['Type=notify', 'NotifyAccess=all', 'WatchdogSec=60', 'User=matrix', 'PartOf=ganglion.target'])
    expect(template.split('\n')).toContain(line)
  expect(template).toMatch(/ExecStart=\S+ganglion worker -c \S+homeserver.yaml -c \S+workers\/%i.yaml\n/)
})

test('ctl says what is wrong with a command line', () => {
  expect(run('ganglion', 'ctl', 'strat')).toMatchObject({
    status: 64,
    stderr: expect.stringContaining('did you mean start?') as string,
  })
  expect(run('ganglion', 'ctl')).toMatchObject({ status: 64 })
  expect(run('ganglion', 'ctl', 'start', '-a', 'nowhere')).toMatchObject({ status: 64 })
  expect(run('ganglion', 'ctl', 'start', '-a', 'workers', '-w', 'workers/worker1.yaml')).toMatchObject({ status: 64 })
})
