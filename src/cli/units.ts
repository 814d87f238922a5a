import { mkdirSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { EXIT } from './cli-error.ts'
import { print } from './command.ts'
import type { Installation, InstallationFiles } from './installation.ts'

const USER_DEFAULT = 'ganglion'
const PROGRAM = resolve(import.meta.dirname, '..', '..', 'bin', 'ganglion')

interface UnitSettings {
  readonly installation: Installation
  readonly files: InstallationFiles
  /** Where to write them; undefined to print them. */
  readonly directory: string | undefined
  readonly user: string | undefined
}

/** Prints or writes systemd units for an installation. Returns the status to end with. */
export function writeUnits(settings: UnitSettings): number {
  const units = buildUnits(settings)
  if (settings.directory === undefined) {
    for (const [name, text] of Object.entries(units)) print(`# ${name}\n${text}`)
    return EXIT.ok
  }
  mkdirSync(settings.directory, { recursive: true })
  for (const [name, text] of Object.entries(units)) {
    const path = join(settings.directory, name)
    writeFileSync(path, text)
    print(path)
  }
  const workers = workerNames(settings.installation).map((name) => `ganglion-worker@${name}`)
  const names = 'ganglion.target' in units ? ['ganglion.target', 'ganglion', ...workers] : ['ganglion']
  print(`\nThen: systemctl daemon-reload && systemctl enable --now ${names.join(' ')}`)
  return EXIT.ok
}

/**
 * With an outside database, a unit per process under one target. The embedded one belongs to a single process, so there `ganglion up` runs
 * all of them in one unit.
 */
function buildUnits({ installation, files, user = USER_DEFAULT }: UnitSettings): Readonly<Record<string, string>> {
  const shared = installation.shared.map((file) => `-c ${quote(file)}`).join(' ')
  const directory = files.workersDirectory === undefined ? undefined : resolve(files.workersDirectory)
  const common = { user, directory: installation.main.directory }
  if (installation.main.database.name === 'embedded' || directory === undefined) {
    const command = directory === undefined ? `homeserver ${shared}` : `up ${shared} -a ${quote(directory)}`
    return {
      'ganglion.service': buildService({
        ...common,
        description: 'Ganglion, a Matrix homeserver',
        command,
        wantedBy: 'multi-user.target',
      }),
    }
  }
  return {
    'ganglion.target': `[Unit]
Description=Ganglion, a Matrix homeserver, with its workers
Wants=network-online.target
After=network-online.target

[Install]
WantedBy=multi-user.target
`,
    'ganglion.service': buildService({
      ...common,
      description: 'Ganglion, main process',
      command: `homeserver ${shared}`,
      wantedBy: 'ganglion.target',
      isPart: true,
    }),
    'ganglion-worker@.service': buildService({
      ...common,
      description: 'Ganglion, worker %i',
      command: `worker ${shared} -c ${quote(join(directory, '%i.yaml'))}`,
      wantedBy: 'ganglion.target',
      isPart: true,
      assertPath: join(directory, '%i.yaml'),
    }),
  }
}

interface ServiceSettings {
  readonly description: string
  readonly command: string
  readonly user: string
  readonly directory: string
  readonly wantedBy: string
  readonly isPart?: boolean
  readonly assertPath?: string
}

/** Units of Type=notify: "active" means that all listeners are open, and a process whose event loop stands still is restarted. */
function buildService(settings: ServiceSettings): string {
  const part = settings.isPart === true ? 'PartOf=ganglion.target\nReloadPropagatedFrom=ganglion.target\n' : ''
  const assertion = settings.assertPath === undefined ? '' : `AssertPathExists=${settings.assertPath}\n`
  return `[Unit]
Description=${settings.description}
Wants=network-online.target
After=network-online.target postgresql.service redis-server.service redis.service
${part}${assertion}
[Service]
Type=notify
# The message comes from systemd-notify, a child of the server.
NotifyAccess=all
WatchdogSec=60
User=${settings.user}
WorkingDirectory=${settings.directory}
EnvironmentFile=-/etc/default/ganglion
ExecStart=${quote(PROGRAM)} ${settings.command}
ExecReload=/bin/kill -HUP $MAINPID
KillMode=mixed
# The first start may have to update the database.
TimeoutStartSec=600
TimeoutStopSec=20
Restart=always
RestartSec=3
# 78: the configuration is wrong; trying again would not help.
RestartPreventExitStatus=78

[Install]
WantedBy=${settings.wantedBy}
`
}

/** The units of workers are called like their files. */
function workerNames({ processes }: Installation): string[] {
  return processes.filter(({ args }) => args.includes('worker')).map(({ args }) => basename(args.at(-1) ?? '', '.yaml'))
}

/** As systemd reads command lines; `%i` stays what it is. */
function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `"${text.replace(/["\\]/g, '\\$&')}"`
}
