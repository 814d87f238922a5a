import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { environmentVariable, repositoryPath } from '../environment.ts'

const REQUIREMENTS = repositoryPath('tests/kit/synapse/requirements.txt')
const INSTALL_TIMEOUT_MS = 600_000

/**
 * Returns the Python of an environment that has Synapse, in the version that `requirements.txt` names. Installs it, once, from
 * ready-made wheels into the user's cache. Throws with what is missing where that cannot be done.
 */
export function installSynapse(): string {
  const version = /^matrix-synapse==(\S+)$/m.exec(readFileSync(REQUIREMENTS, 'utf8'))?.[1] ?? 'unknown'
  const cache = environmentVariable('XDG_CACHE_HOME') ?? join(homedir(), '.cache')
  const directory = join(cache, 'ganglion', `synapse-${version}`)
  const python = (root: string): string => join(root, 'bin', 'python')
  if (existsSync(python(directory))) return python(directory)
  // Made aside and renamed when whole: an attempt that was cut off leaves nothing that looks installed.
  const unfinished = `${directory}.${process.pid}`
  mkdirSync(join(cache, 'ganglion'), { recursive: true })
  process.stdout.write(`Installing Synapse ${version} for tests of federation into ${directory} …\n`)
  try {
    run('python3', ['-c', 'import sys; sys.exit(sys.version_info < (3, 10))'], 'Python 3.10 or newer')
    run('python3', ['-m', 'venv', unfinished], 'the module venv (apt-get install python3-venv)')
    const pip = ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', '--only-binary=:all:', '-r', REQUIREMENTS]
    run(python(unfinished), pip, 'a way to the Python package index')
    if (!existsSync(python(directory))) renameSync(unfinished, directory)
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
  return python(directory)
}

function run(command: string, args: readonly string[], needed: string): void {
  const { status, error, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: INSTALL_TIMEOUT_MS })
  if (error === undefined && status === 0) return
  throw new Error(`Tests with Synapse need ${needed}. ${command} ${args.join(' ')} failed: ${error?.message ?? stderr}`)
}
