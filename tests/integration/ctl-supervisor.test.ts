import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SupervisedProcess } from '../../src/process/supervised-process.ts'
import type { ProcessSpec, SupervisionTiming } from '../../src/process/supervised-process.ts'
import { Supervisor } from '../../src/process/supervisor.ts'
import { systemClock } from '../../src/util/clock.ts'
import { isProcessAlive } from '../../src/util/lock-file.ts'
import { waitUntilHealthy } from '../../src/process/health-probe.ts'

const QUICK: Partial<SupervisionTiming> = {
  backoffMinMs: 50,
  backoffMaxMs: 200,
  stopTimeoutMs: 1_000,
  healthTimeoutMs: 5_000,
  settleMs: 50,
}
let directory: string
let lines: string[]
let open: Supervisor[]
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'supervisor-'))
  lines = []
  open = []
})
afterEach(async () => {
  for (const supervisor of open) await supervisor.stop()
  rmSync(directory, { recursive: true, force: true })
})

function supervise(): Supervisor {
  const supervisor = new Supervisor({
    clock: systemClock,
    env: process.env,
    write: (name, line) => lines.push(`${name}: ${line}`),
    timing: QUICK,
  })
  open.push(supervisor)
  return supervisor
}

/** A small program in the place of a server. */
function program(name: string, code: string): ProcessSpec {
  const path = join(directory, `${name}.mjs`)
  writeFileSync(path, code)
  return { name, command: process.execPath, args: [path] }
}

const READY = `process.send({ kind: 'ready', addresses: [] })\n`
const STAY = `setInterval(() => {}, 1000)\n`
const SERVE = `
import { createServer } from 'node:http'
const server = createServer((request, response) => response.end('OK')).listen(0, '127.0.0.1', () =>
  process.send({ kind: 'ready', addresses: ['http://127.0.0.1:' + server.address().port] }))
process.on('SIGTERM', () => process.exit(0))
`

async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 20_000
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`it does not come true; the log: ${lines.join('\n')}`)
    await sleep(10)
  }
}

test('processes run until they are stopped, and their lines come out under their names', async () => {
  const supervisor = supervise()
  await supervisor.start([program('one', `console.log('hello'); console.error('there')\n${READY}${STAY}`), program('two', SERVE)])
  await until(() => lines.includes('one: hello') && lines.includes('one: there'))
  const [one, two] = supervisor.status
  expect(one).toMatchObject({ instance: 'one', state: 'running', restarts: 0, ports: [] })
  expect(two?.ports).toHaveLength(1)
  await supervisor.stop()
  expect(supervisor.status.map(({ state, pid }) => [state, pid])).toEqual([
    ['stopped', null],
    ['stopped', null],
  ])
  for (const { pid } of [one, two].filter((it) => it !== undefined)) expect(isProcessAlive(pid ?? 0)).toBe(false)
})

test('a process that is killed is started again, later each time', async () => {
  const supervisor = supervise()
  await supervisor.start([program('one', READY + STAY)])
  const before = supervisor.status[0]?.pid ?? 0
  process.kill(before, 'SIGKILL')
  await until(() => supervisor.status[0]?.restarts === 1 && supervisor.status[0].state === 'running')
  expect(supervisor.status[0]?.pid).not.toBe(before)
  process.kill(supervisor.status[0]?.pid ?? 0, 'SIGKILL')
  await until(() => supervisor.status[0]?.restarts === 2 && supervisor.status[0].state === 'running')
  expect(lines.filter((line) => line.includes('ended unexpectedly'))).toEqual([
    'one: ended unexpectedly (SIGKILL); it is started again in 0.05 s',
    'one: ended unexpectedly (SIGKILL); it is started again in 0.1 s',
  ])
})

test('a process whose configuration is wrong is given up, with its own line in the log, and the others go on', async () => {
  const supervisor = supervise()
  await supervisor.start([
    program('wrong', `console.error('worker.yaml:3:1: worker_nam: there is no such option'); process.exitCode = 78`),
    program('right', READY + STAY),
  ])
  expect(supervisor.status.map(({ instance, state, restarts }) => [instance, state, restarts])).toEqual([
    ['wrong', 'failed', 0],
    ['right', 'running', 0],
  ])
  expect(lines.filter((line) => line.startsWith('wrong:'))).toEqual([
    'wrong: worker.yaml:3:1: worker_nam: there is no such option',
    'wrong: the configuration is wrong: this process is not started again until it is mended',
  ])
  // Mended: it is tried again.
  await supervisor.start([program('wrong', READY + STAY)])
  expect(supervisor.status.map(({ state }) => state)).toEqual(['running', 'running'])
})

test('a process that does not hear SIGTERM is killed, while the others end in peace', async () => {
  const supervisor = supervise()
  await supervisor.start([program('deaf', `process.on('SIGTERM', () => {})\n${READY}${STAY}`), program('polite', SERVE)])
  await supervisor.stop()
  expect(lines.filter((line) => line.includes('is killed'))).toEqual(['deaf: did not end in time, and is killed'])
})

test('a rolling restart takes one process after the other, each when the one before answers /health', async () => {
  const supervisor = supervise()
  await supervisor.start([program('one', SERVE), program('two', SERVE), program('three', READY + STAY)])
  const before = supervisor.status.map(({ pid }) => pid)
  let down = 0
  const watching = new AbortController()
  const watch = (async () => {
    while (!watching.signal.aborted) {
      down = Math.max(down, supervisor.status.filter(({ state }) => state !== 'running').length)
      await sleep(2)
    }
  })()
  expect(await supervisor.restart()).toBeUndefined()
  watching.abort()
  await watch
  expect(down).toBe(1)
  const after = supervisor.status
  expect(after.every(({ state, restarts }) => state === 'running' && restarts === 0)).toBe(true)
  for (const [index, pid] of before.entries()) expect(after[index]?.pid).not.toBe(pid)
})

test('a rolling restart ends at the process that does not come back, and leaves the rest alone', async () => {
  const supervisor = supervise()
  const specs = [program('one', SERVE), program('two', SERVE), program('three', SERVE)]
  await supervisor.start(specs)
  const pids = supervisor.status.map(({ pid }) => pid)
  program('two', 'process.exitCode = 78')
  expect(await supervisor.restart()).toBe('two')
  expect(supervisor.status.map(({ state }) => state)).toEqual(['running', 'failed', 'running'])
  expect(supervisor.status[2]?.pid).toBe(pids[2])
})

test('a program that is not there is tried again like one that crashes', async () => {
  const process = new SupervisedProcess(
    { name: 'gone', command: join(directory, 'nothing-here'), args: [] },
    { clock: systemClock, env: {}, write: (name, line) => lines.push(`${name}: ${line}`), timing: QUICK },
  )
  void process.start()
  await until(() => process.status.restarts >= 2)
  await process.stop()
  expect(lines[0]).toContain('ENOENT')
})

test('health is asked over a Unix socket, too, and what answers with an error is not healthy', async () => {
  const path = join(directory, 'health.sock')
  let status = 503
  const server = createServer((_, response) => response.writeHead(status).end()).listen(path)
  const { signal } = new AbortController()
  expect(await waitUntilHealthy(`unix:${path}`, { timeoutMs: 100, signal })).toBe(false)
  status = 200
  expect(await waitUntilHealthy(`unix:${path}`, { timeoutMs: 5_000, signal })).toBe(true)
  server.close()
  expect(await waitUntilHealthy(`unix:${path}`, { timeoutMs: 100, signal })).toBe(false)
})

test('systemd hears that the process is ready, lives, and ends (W-22)', async () => {
  // A stand-in for systemd-notify that writes down what it is told.
  const heard = join(directory, 'heard')
  const fake = join(directory, 'systemd-notify')
  writeFileSync(fake, `#!/bin/sh\nprintf '%s %s\\n' "$NOTIFY_SOCKET" "$*" >> '${heard}'\n`)
  chmodSync(fake, 0o755)
  const managerPath = join(import.meta.dirname, '..', '..', 'src', 'process', 'service-manager.ts')
  const spec = program(
    'notifying',
    `
import { ServiceManager } from '${managerPath}'
const manager = new ServiceManager({ warn: console.error })
manager.ready(['http://127.0.0.1:1'])
process.on('SIGTERM', () => { manager.stopping(); setTimeout(() => process.exit(0), 300) })
${STAY}`,
  )
  const supervised = new SupervisedProcess(spec, {
    clock: systemClock,
    env: { PATH: `${directory}:${process.env['PATH'] ?? ''}`, NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '200000' },
    write: (name, line) => lines.push(`${name}: ${line}`),
  })
  await supervised.start()
  await until(() => heardLines(heard).filter((line) => line === '/run/notify WATCHDOG=1').length >= 3)
  await supervised.stop()
  expect(heardLines(heard)).toContain('/run/notify READY=1 STATUS=listening on http://127.0.0.1:1')
  expect(heardLines(heard)).toContain('/run/notify STOPPING=1')
  expect(lines).toEqual([])
})

function heardLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n')
  } catch {
    return []
  }
}
