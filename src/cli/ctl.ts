import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ProcessStatus } from '../process/supervised-process.ts'
import { isProcessAlive } from '../util/lock-file.ts'
import { findNearest } from '../util/nearest.ts'
import { isSystemError } from '../util/system-error.ts'
import { askTopology } from './ask-topology.ts'
import { CliError, EXIT } from './cli-error.ts'
import { print, printError } from './command.ts'
import type { Command } from './command.ts'
import { askSupervisor } from './control-socket.ts'
import type { ControlAnswer } from './control-socket.ts'
import { parseFlags } from './flags.ts'
import type { Parsed } from './flags.ts'
import { readInstallation } from './installation.ts'
import type { Installation, InstallationFiles } from './installation.ts'
import { writeUnits } from './units.ts'
import { runTogether } from './up.ts'

const FLAGS = {
  'config-path': {
    type: 'string',
    short: 'c',
    multiple: true,
    value: 'SHARED',
    doc: 'The shared configuration file; ./homeserver.yaml by default. It may also stand behind the action.',
  },
  worker: { type: 'string', short: 'w', multiple: true, value: 'FILE', doc: 'Only the worker with this file.' },
  'all-processes': {
    type: 'string',
    short: 'a',
    value: 'DIR',
    doc: 'The main process and the workers whose files stand in this folder.',
  },
  json: { type: 'boolean', doc: 'status: for scripts.' },
  'no-daemonize': { type: 'boolean', doc: 'start: stays in the foreground, as `ganglion up`.' },
  output: { type: 'string', short: 'o', value: 'DIR', doc: 'units: writes the files into this folder instead of printing them.' },
  user: { type: 'string', value: 'NAME', doc: 'units: the user that the processes run as; ganglion by default.' },
} as const
const ACTIONS = ['start', 'stop', 'restart', 'status', 'units'] as const
type Action = (typeof ACTIONS)[number]
type Flags = Parsed<typeof FLAGS>['flags']

/** What the init scripts standard says for "program is not running". */
const STATUS_NOT_RUNNING = 3
const CONNECT_TIMEOUT_MS = 10_000
const START_TIMEOUT_MS = 120_000
const STOP_TIMEOUT_MS = 12_000
const POLL_MS = 50
const STATUS_POLL_MS = 500
/** So many crashes of one process in a row, and `start` reports what there is. */
const CRASHES_MAX = 3
const LOG_LINES = 12

/** Starts, stops and restarts processes in the background. As Synapse's synctl. */
export const ctlCommand: Command = {
  name: 'ctl',
  summary: 'Starts, stops and restarts the main process and workers in the background, and tells how they are.',
  usage: `${ACTIONS.join('|')} [-c SHARED] [-a DIR] [-w FILE] [--json]`,
  flags: FLAGS,
  async run(args) {
    const { flags, positionals } = parseFlags(args, FLAGS, { positionalsMax: 2 })
    const action = parseAction(positionals[0])
    if (flags.worker !== undefined && flags['all-processes'] !== undefined)
      throw new CliError('-a means all workers and -w one: give one of the two')
    const named = positionals[1] === undefined ? [] : [positionals[1]]
    const files: InstallationFiles = {
      shared: [...named, ...(flags['config-path'] ?? [])],
      workersDirectory: flags['all-processes'],
      workers: flags.worker ?? [],
    }
    // Before anything is stopped, everything must be such that it can start again.
    const installation = readInstallation(files, { isStrict: action === 'restart' || action === 'units' })
    switch (action) {
      case 'start':
        return flags['no-daemonize'] === true ? runTogether(installation) : start(installation, files)
      case 'stop':
        return stop(installation, files)
      case 'restart':
        return restart(installation, files)
      case 'status':
        return status(installation, flags)
      case 'units':
        return writeUnits({ installation, files, directory: flags.output, user: flags.user })
    }
  },
}

function parseAction(word: string | undefined): Action {
  const action = ACTIONS.find((candidate) => candidate === word)
  if (action !== undefined) return action
  if (word === undefined) throw new CliError(`say what to do: ${ACTIONS.join(', ')}`)
  const nearest = findNearest(word, ACTIONS)
  throw new CliError(
    `cannot ${JSON.stringify(word)}; ${nearest === undefined ? `there is ${ACTIONS.join(', ')}` : `did you mean ${nearest}?`}`,
  )
}

async function start(installation: Installation, files: InstallationFiles): Promise<number> {
  if ((await askSupervisor(installation.socketPath, { action: 'status' })) === undefined) await launch(installation, files)
  const last = await startAndWait(installation)
  if (last === undefined) {
    printError(`ganglion: the processes did not start; the end of ${installation.logPath}:\n${readEnd(installation.logPath)}`)
    // The supervisor ends by itself only when all configurations are wrong.
    return EXIT.config
  }
  const mine = last.processes.filter(({ instance }) => installation.processes.some(({ name }) => name === instance))
  for (const process of mine) print(describe(process))
  if (mine.every(({ state }) => state === 'running')) return EXIT.ok
  printError(`ganglion: not everything runs; see ${installation.logPath}`)
  return mine.some(({ state }) => state === 'failed') ? EXIT.config : EXIT.failed
}

/** Settles when all are ready or have given up, or when one has crashed so often that waiting makes no sense. */
async function startAndWait({ socketPath, processes }: Installation): Promise<ControlAnswer | undefined> {
  const started = askSupervisor(socketPath, { action: 'start', specs: processes })
  for (let waitedMs = 0; waitedMs < START_TIMEOUT_MS; waitedMs += STATUS_POLL_MS) {
    const answer = await within(started, STATUS_POLL_MS)
    if (answer !== undefined) return answer
    const status = await askSupervisor(socketPath, { action: 'status' })
    if (status === undefined || status.processes.some(({ state, restarts }) => state === 'waiting' && restarts >= CRASHES_MAX))
      return status
  }
  return askSupervisor(socketPath, { action: 'status' })
}

/** Starts the supervisor as a process of its own, and waits until it can be asked. */
async function launch({ shared, logPath, socketPath }: Installation, files: InstallationFiles): Promise<void> {
  const program = resolve(import.meta.dirname, '..', '..', 'bin', 'ganglion')
  const args = [
    ...shared.flatMap((file) => ['-c', file]),
    ...(files.workersDirectory === undefined ? [] : ['-a', files.workersDirectory]),
    ...files.workers.flatMap((file) => ['-w', file]),
  ]
  const log = openSync(logPath, 'a', 0o600)
  const child = spawn(process.execPath, [program, 'up', ...args], { detached: true, stdio: ['ignore', log, log] })
  closeSync(log)
  let status: number | null | undefined
  child.once('exit', (code) => (status = code))
  await once(child, 'spawn')
  child.unref()
  for (let waitedMs = 0; waitedMs < CONNECT_TIMEOUT_MS; waitedMs += POLL_MS) {
    if ((await askSupervisor(socketPath, { action: 'status' })) !== undefined) return
    if (status !== undefined) break
    await sleep(POLL_MS)
  }
  throw new CliError(`the supervisor did not start; the end of ${logPath}:\n${readEnd(logPath)}`, {
    status: status ?? EXIT.failed,
  })
}

async function stop(installation: Installation, files: InstallationFiles): Promise<number> {
  const pid = readSupervisorPid(installation.lockPath)
  const names = chooseNames(installation, files)
  const answer = await within(askSupervisor(installation.socketPath, { action: 'stop', names }), STOP_TIMEOUT_MS)
  if (answer === undefined && (pid === undefined || !isProcessAlive(pid))) {
    print('nothing runs here that ganglion ctl started')
    return EXIT.ok
  }
  const isOver = answer === undefined || answer.processes.every(({ state }) => state === 'stopped' || state === 'failed')
  // Nothing of it is left, the embedded database included, when this command ends.
  if (isOver && pid !== undefined) await waitForEnd(pid)
  print(`stopped ${(names ?? answer?.processes.map(({ instance }) => instance) ?? []).join(', ')}`)
  return EXIT.ok
}

async function waitForEnd(pid: number): Promise<void> {
  for (let waitedMs = 0; waitedMs < STOP_TIMEOUT_MS && isProcessAlive(pid); waitedMs += POLL_MS) await sleep(POLL_MS)
}

async function restart(installation: Installation, files: InstallationFiles): Promise<number> {
  const running = await askSupervisor(installation.socketPath, { action: 'status' })
  if (running === undefined) return start(installation, files)
  const names = chooseNames(installation, files)
  const known = new Set(running.processes.map(({ instance }) => instance))
  const answer = await askSupervisor(installation.socketPath, {
    action: 'restart',
    names: names?.filter((name) => known.has(name)),
  })
  if (answer === undefined) throw new CliError('the supervisor ended meanwhile', { status: EXIT.failed })
  for (const process of answer.processes) print(describe(process))
  if (answer.problem !== undefined) {
    printError(`ganglion: ${answer.problem}; see ${installation.logPath}`)
    return EXIT.failed
  }
  // Workers whose files are new since.
  return installation.processes.some(({ name }) => !known.has(name)) ? start(installation, files) : EXIT.ok
}

async function status(installation: Installation, flags: Flags): Promise<number> {
  const answer = await askSupervisor(installation.socketPath, { action: 'status' })
  const processes = answer?.processes ?? []
  if (flags.json === true) {
    const supervisor = answer === undefined ? null : (readSupervisorPid(installation.lockPath) ?? null)
    const topology = answer === undefined ? null : await askTopology(installation.main)
    print(JSON.stringify({ supervisor, processes, topology }, undefined, 2))
  } else if (answer === undefined) print('nothing runs here that ganglion ctl started')
  else for (const process of processes) print(describe(process))
  if (answer === undefined) return STATUS_NOT_RUNNING
  return processes.every(({ state }) => state === 'running') ? EXIT.ok : EXIT.failed
}

/** With -w only that worker; else all that run. */
function chooseNames(installation: Installation, { workers }: InstallationFiles): readonly string[] | undefined {
  return workers.length === 0 ? undefined : installation.processes.map(({ name }) => name)
}

function describe({ instance, state, pid, restarts, uptime_seconds: uptime, addresses }: ProcessStatus): string {
  const details = [
    ...(pid === null ? [] : [`pid ${pid}`, `up ${uptime} s`]),
    ...(restarts === 0 ? [] : [`restarted ${restarts} times`]),
    ...addresses,
  ]
  return `${instance.padEnd(24)} ${state.padEnd(9)} ${details.join(', ')}`.trimEnd()
}

/** The answer, or undefined when it takes too long. */
async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  return Promise.race([promise, sleep(timeoutMs, undefined, { ref: false })])
}

function readSupervisorPid(lockPath: string): number | undefined {
  try {
    return Number(readFileSync(lockPath, 'utf8').split(' ')[0])
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined
    throw error
  }
}

function readEnd(path: string): string {
  return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-LOG_LINES).join('\n')
}
