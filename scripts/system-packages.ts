import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** A program that tests call and npm cannot bring. */
interface SystemProgram {
  readonly command: string
  /** Debian's and Ubuntu's package. */
  readonly packageName: string
  readonly neededFor: string
}

const PROGRAMS: readonly SystemProgram[] = [
  { command: 'bash', packageName: 'bash', neededFor: 'tests/blackbox/launch.sh' },
  { command: 'redis-server', packageName: 'redis-server', neededFor: 'tests of several processes' },
  { command: 'nginx', packageName: 'nginx', neededFor: 'tests of proxy configurations' },
  { command: 'haproxy', packageName: 'haproxy', neededFor: 'tests of proxy configurations' },
  { command: 'openssl', packageName: 'openssl', neededFor: 'certificates of tests/blackbox/launch.sh' },
]

/** Installs what is missing where that is possible, and says what to install where not. Returns how many programs are still missing. */
export function installSystemPackages(programs: readonly SystemProgram[] = PROGRAMS): number {
  const missing = programs.filter(({ command }) => !isInstalled(command))
  if (missing.length === 0) return 0
  const names = missing.map(({ packageName }) => packageName)
  if (process.getuid?.() === 0 && isInstalled('apt-get')) {
    process.stdout.write(`Installing ${names.join(', ')} from the system's packages …\n`)
    runApt(['update', '-qq'])
    runApt(['install', '-y', '-qq', '--no-install-recommends', ...names])
  }
  const still = missing.filter(({ command }) => !isInstalled(command))
  for (const { command, packageName, neededFor } of still) {
    process.stdout.write(`MISSING: ${command}, for ${neededFor}. Install it: apt-get install ${packageName}\n`)
  }
  return still.length
}

function runApt(args: readonly string[]): void {
  spawnSync('apt-get', args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  })
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
