import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig } from '../../config/config.ts'
import type { Config } from '../../config/config.ts'
import { ConfigError } from '../../config/config-error.ts'
import type { ListenerConfig } from '../../config/listeners.ts'
import { describeTopology } from '../../config/topology.ts'

/** One process of the server, as its configuration describes it. */
export interface ServerProcess {
  readonly name: string
  /** `worker_app`; undefined for the main process. */
  readonly app: string | undefined
  readonly listeners: readonly ListenerConfig[]
  /** Whether the media store may be served by it. */
  readonly hasMediaStore: boolean
  /** The host that other machines reach it by, from `instance_map`. */
  readonly host: string | undefined
  /** The worker's own file; undefined for the main process. */
  readonly file: string | undefined
  readonly config: Config
}

/** The worker files of a folder, by name. Throws ConfigError. */
export function listWorkerFiles(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => /\.ya?ml$/.test(name))
      .toSorted()
      .map((name) => join(directory, name))
  } catch (error) {
    throw new ConfigError([
      `cannot read the workers' configurations in ${directory}: ${error instanceof Error ? error.message : String(error)}`,
    ])
  }
}

/** Reads the main process and every worker of the folder. Throws ConfigError with the problems of all files together. */
export function readProcesses(shared: readonly string[], workersDirectory: string | undefined): ServerProcess[] {
  const { processes, problems } = readWhatIsRight(shared, workersDirectory)
  if (problems.length > 0) throw new ConfigError(problems)
  return processes
}

/** Reads every process whose configuration can be read, and says what is wrong with the others. Throws ConfigError where the folder cannot be read. */
export function readWhatIsRight(
  shared: readonly string[],
  workersDirectory: string | undefined,
): { readonly processes: ServerProcess[]; readonly problems: readonly string[] } {
  // What is wrong in the shared file is wrong for every process, and told once.
  const problems = new Set<string>()
  const processes: ServerProcess[] = []
  for (const file of [undefined, ...(workersDirectory === undefined ? [] : listWorkerFiles(workersDirectory))]) {
    try {
      processes.push(describeProcess(loadConfig(file === undefined ? shared : [...shared, file]), file))
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      for (const problem of error.problems) problems.add(problem)
    }
  }
  return { processes, problems: [...problems] }
}

function describeProcess(config: Config, file: string | undefined): ServerProcess {
  const { instance, kind, listeners, servesMedia } = describeTopology(config)
  return {
    name: instance,
    app: kind === 'main' ? undefined : (config.workers.workerApp ?? ''),
    listeners,
    hasMediaStore: servesMedia,
    host: config.workers.instanceMap.get(instance)?.host,
    file,
    config,
  }
}
