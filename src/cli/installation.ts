import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { loadConfig } from '../config/config.ts'
import type { Config } from '../config/config.ts'
import { ConfigError } from '../config/config-error.ts'
import { isLocatedMap } from '../config/located.ts'
import { findDisagreements } from '../config/topology-together.ts'
import { instanceNameOf } from '../config/topology.ts'
import { parseYaml } from '../config/yaml-file.ts'
import type { ProcessSpec } from '../process/supervised-process.ts'
import { CliError } from './cli-error.ts'
import { listDefaultFiles } from './config-files.ts'

/** Which files somebody named on the command line. */
export interface InstallationFiles {
  readonly shared: readonly string[]
  /** Folder of worker files, for all processes. */
  readonly workersDirectory: string | undefined
  /** Single worker files: these only, without the main process. */
  readonly workers: readonly string[]
}

/** All processes of one server on this machine, and where their supervisor keeps its things. */
export interface Installation {
  readonly processes: readonly ProcessSpec[]
  /** The main process's configuration, whether it is among `processes` or not. */
  readonly main: Config
  /** The shared configuration files. */
  readonly shared: readonly string[]
  readonly lockPath: string
  readonly socketPath: string
  readonly logPath: string
}

const PROGRAM = resolve(import.meta.dirname, '..', '..', 'bin', 'ganglion')
// The kernel's limit for a socket's path.
const SOCKET_PATH_BYTES_MAX = 107
const MAIN_APP = 'synapse.app.homeserver'

/**
 * Finds the processes of a server. A process whose own file is wrong is among them: it says so itself when it starts, and the others run.
 * Throws ConfigError when the shared file is wrong, or files contradict each other.
 */
export function readInstallation(files: InstallationFiles, options: { isStrict?: boolean } = {}): Installation {
  const shared = files.shared.length > 0 ? files.shared : listSharedDefaults()
  const found = listWorkerFiles(files).map(readWorkerFile)
  const mainExtra = found.filter(({ app }) => app === MAIN_APP).map(({ path }) => path)
  const mainFiles = [...shared, ...mainExtra]
  const main = loadConfig(mainFiles)
  const workers = found.filter(({ app }) => app !== MAIN_APP).map((worker) => ({ ...worker, files: [...shared, worker.path] }))
  const configs = [{ file: mainFiles.join(' + '), config: main }]
  for (const worker of workers) {
    const config = options.isStrict === true ? loadConfig(worker.files) : tryLoad(worker.files)
    if (config !== undefined) configs.push({ file: worker.path, config })
  }
  const problems = findDisagreements(configs)
  if (problems.length > 0) throw new ConfigError(problems)
  const withMain = files.workers.length === 0 || mainExtra.length > 0
  return {
    processes: [
      ...(withMain ? [specOf(instanceNameOf(main.workers), 'homeserver', mainFiles)] : []),
      ...workers.map((worker) => specOf(worker.name, 'worker', worker.files)),
    ],
    main,
    shared: shared.map((file) => resolve(file)),
    ...listStatePaths(main, shared),
  }
}

function listSharedDefaults(): readonly string[] {
  const named = listDefaultFiles()
  if (named.length > 0) return named
  if (existsSync('homeserver.yaml')) return ['homeserver.yaml']
  throw new CliError('name the shared configuration file with -c')
}

function listWorkerFiles({ workersDirectory, workers }: InstallationFiles): string[] {
  if (workersDirectory === undefined) return [...workers]
  if (statSync(workersDirectory, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new CliError(`there is no folder ${workersDirectory} with worker files`)
  const all = readdirSync(workersDirectory)
    .filter((name) => name.endsWith('.yaml'))
    .toSorted()
    .map((name) => join(workersDirectory, name))
  return [...all, ...workers]
}

interface WorkerFile {
  readonly path: string
  readonly app: string
  readonly name: string
}

function readWorkerFile(path: string): WorkerFile {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new CliError(`cannot read the worker file ${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
  const { value } = parseYaml(text, path, [])
  const read = (key: string): string | undefined => {
    const entry = isLocatedMap(value) ? value.get(key)?.node.value : undefined
    return typeof entry === 'string' ? entry : undefined
  }
  const app = read('worker_app')
  if (app === undefined)
    throw new ConfigError([
      `${path}: worker_app: it is missing; write \`worker_app: synapse.app.generic_worker\`, or move the file away`,
    ])
  return { path, app, name: read('worker_name') ?? app }
}

function tryLoad(files: readonly string[]): Config | undefined {
  try {
    return loadConfig(files)
  } catch (error) {
    if (error instanceof ConfigError) return undefined
    throw error
  }
}

function specOf(name: string, command: 'homeserver' | 'worker', files: readonly string[]): ProcessSpec {
  // Absolute: the supervisor may have another working directory than who asks it.
  return { name, command: process.execPath, args: [PROGRAM, command, ...files.flatMap((file) => ['-c', resolve(file)])] }
}

function listStatePaths(main: Config, shared: readonly string[]): Pick<Installation, 'lockPath' | 'socketPath' | 'logPath'> {
  const directory = resolve(main.server.pidFile === undefined ? main.directory : dirname(main.server.pidFile))
  const base = join(directory, `${basename(shared[0] ?? 'homeserver').replace(/\.yaml$/, '')}.ctl`)
  const socket = `${base}.sock`
  const hash = createHash('sha256').update(base).digest('hex').slice(0, 16)
  return {
    lockPath: `${base}.lock`,
    socketPath: Buffer.byteLength(socket) <= SOCKET_PATH_BYTES_MAX ? socket : join(tmpdir(), `ganglion-${hash}.sock`),
    logPath: `${base}.log`,
  }
}
