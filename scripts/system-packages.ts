import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** A program that tests call and npm cannot bring. */
interface SystemProgram {
  readonly command: string
  /** Commands that do as well. */
  readonly others?: readonly string[]
  /** Debian's and Ubuntu's package. */
  readonly packageName: string
  readonly neededFor: string
  /** The one part of the tests that needs it; without it all but the unit tests do. */
  readonly part?: string
  /** What tells whether it is there, where the command alone does not. */
  readonly probe?: readonly string[]
}

const PROGRAMS: readonly SystemProgram[] = [
  { command: 'bash', packageName: 'bash', neededFor: 'tests/blackbox/launch.sh' },
  { command: 'redis-server', packageName: 'redis-server', neededFor: 'tests of several processes' },
  { command: 'nginx', packageName: 'nginx', neededFor: 'tests of proxy configurations' },
  { command: 'haproxy', packageName: 'haproxy', neededFor: 'tests of proxy configurations' },
  { command: 'openssl', packageName: 'openssl', neededFor: 'certificates of tests/blackbox/launch.sh' },
  {
    command: 'chromium-headless-shell',
    others: ['chromium', 'chromium-browser', 'google-chrome'],
    packageName: 'chromium-headless-shell',
    neededFor: 'tests in a browser',
  },
  {
    command: 'python3',
    packageName: 'python3-venv',
    neededFor: 'the Synapse that tests of federation talk to',
    part: 'partners',
    probe: ['-c', 'import ensurepip, venv'],
  },
]

const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin']

/** Installs what is missing where that is possible, and says what to install where not. Returns how many programs are still missing. */
export function installSystemPackages(parts: readonly string[] = []): number {
  addSystemFolders()
  const needed = PROGRAMS.filter(({ part }) => part === undefined || parts.includes(part))
  const missing = needed.filter((program) => !isThere(program))
  if (missing.length === 0) return 0
  const names = missing.map(({ packageName }) => packageName)
  if (process.getuid?.() === 0 && isInstalled('apt-get')) {
    process.stdout.write(`Installing ${names.join(', ')} from the system's packages …\n`)
    runApt(['update', '-qq'])
    runApt(['install', '-y', '-qq', '--no-install-recommends', ...names])
  }
  const still = missing.filter((program) => !isThere(program))
  for (const { command, packageName, neededFor } of still) {
    process.stdout.write(`MISSING: ${command}, for ${neededFor}. Install it: apt-get install ${packageName}\n`)
  }
  return still.length
}

/** Debian's plain users do not have the folders where nginx and haproxy are. What we start inherits the path. */
function addSystemFolders(): void {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  process.env['PATH'] = [...folders, ...SYSTEM_FOLDERS.filter((folder) => !folders.includes(folder))].join(delimiter)
}

function runApt(args: readonly string[]): void {
  spawnSync('apt-get', args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  })
}

function isThere({ command, others = [], probe }: SystemProgram): boolean {
  return (
    [command, ...others].some(isInstalled) && (probe === undefined || spawnSync(command, probe, { stdio: 'ignore' }).status === 0)
  )
}

function isInstalled(command: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
