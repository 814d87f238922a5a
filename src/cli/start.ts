import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { loadConfig } from '../config/config.ts'
import type { Config } from '../config/config.ts'
import { systemRandom } from '../util/random.ts'
import { CliError, EXIT } from './cli-error.ts'
import { print } from './command.ts'
import type { Command } from './command.ts'
import { buildConfigFile } from './config-template.ts'
import { parseFlags } from './flags.ts'
import type { Parsed } from './flags.ts'
import { runServer } from './run-server.ts'

const FLAGS = {
  'server-name': {
    type: 'string',
    value: 'NAME',
    doc: 'Name of the server, on the first run; localhost by default. It cannot be changed later.',
  },
  'data-dir': { type: 'string', value: 'DIR', doc: 'Folder of everything; ./data by default.' },
  port: { type: 'string', value: 'N', doc: 'Port to listen on; 8008 by default, 0 for any free one.' },
  bind: { type: 'string', value: 'ADDRESS', doc: 'Address to listen on; 127.0.0.1 by default.' },
  'open-registration': { type: 'boolean', doc: 'Lets everyone make accounts, during this run.' },
} as const
const PORT_DEFAULT = 8008
const PORT_MAX = 65_535
const BIND_DEFAULT = '127.0.0.1'
type Flags = Parsed<typeof FLAGS>['flags']

/** Runs a complete server out of one folder, which it makes on the first run. What `npm start` does after installing. */
export const startCommand: Command = {
  name: 'start',
  summary: 'Runs a complete server out of one folder (./data), which it makes on the first run.',
  usage: '[--server-name NAME] [--data-dir DIR] [--port N] [--bind ADDRESS] [--open-registration]',
  flags: FLAGS,
  async run(args) {
    const { flags } = parseFlags(args, FLAGS)
    const directory = resolve(flags['data-dir'] ?? 'data')
    const file = join(directory, 'homeserver.yaml')
    const port = parsePort(flags.port)
    if (!existsSync(file)) createFolder(directory, file, { flags, port })
    const config = loadConfig([file], buildOverrides(file, { flags, port }))
    checkServerName(config, flags, directory)
    return runServer(config, { onListening: (address) => printFirstSteps(config, { file, address }) })
  },
}

interface Given {
  readonly flags: Flags
  readonly port: number | undefined
}

function createFolder(directory: string, file: string, { flags, port }: Given): void {
  print(`Making the data directory ${directory}`)
  const bind = flags.bind ?? BIND_DEFAULT
  const text = buildConfigFile(
    {
      serverName: flags['server-name'] ?? 'localhost',
      configDirectory: directory,
      dataDirectory: directory,
      // A port chosen by the system is good for one run only.
      port: port === undefined || port === 0 ? PORT_DEFAULT : port,
      bindAddresses: [bind],
    },
    systemRandom,
  )
  try {
    mkdirSync(directory, { recursive: true, mode: 0o711 })
    writeFileSync(file, text, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    throw new CliError(
      `the data directory ${directory} cannot be written: ${error instanceof Error ? error.message : String(error)}`,
      {
        status: EXIT.failed,
        cause: error,
      },
    )
  }
}

/** What flags change in the configuration, for this run. */
function buildOverrides(file: string, { flags, port }: Given): Record<string, unknown> {
  const overrides: Record<string, unknown> = {}
  if (flags['open-registration'] === true) {
    overrides['enable_registration'] = true
    overrides['enable_registration_without_verification'] = true
  }
  if (port === undefined && flags.bind === undefined) return overrides
  const [first] = loadConfig([file]).listeners
  const bindAddresses = flags.bind === undefined ? (first?.bindAddresses ?? [BIND_DEFAULT]) : [flags.bind]
  overrides['listeners'] = [
    {
      port: port ?? first?.port ?? PORT_DEFAULT,
      type: 'http',
      bind_addresses: bindAddresses,
      x_forwarded: first?.xForwarded ?? false,
      resources: [{ names: ['client', 'federation'] }],
    },
  ]
  return overrides
}

function checkServerName(config: Config, flags: Flags, directory: string): void {
  const wanted = flags['server-name']
  if (wanted !== undefined && wanted !== config.server.serverName) {
    throw new CliError(
      `${directory} is the data directory of ${config.server.serverName}, and the name of a server cannot be changed. ` +
        `For ${wanted}, choose another folder with --data-dir.`,
    )
  }
}

function printFirstSteps(config: Config, { file, address }: { file: string; address: string }): void {
  const program = shorten(join(import.meta.dirname, '..', '..', 'bin', 'ganglion'))
  const url = address.replace(/\/$/, '')
  print(`
Server name:  ${config.server.serverName}
For clients:  ${url}   (any Matrix client; choose "other homeserver")
Settings:     ${file}

An account, for an administrator:
  ${program} register-user -c ${shorten(file)} -u NAME -a ${url}
${config.registration.enableRegistration ? 'Registration is open: everyone who reaches this server can make an account.\n' : ''}
Ctrl-C stops the server; its data stay.`)
}

/** A path as somebody would type it here. */
function shorten(path: string): string {
  const short = relative(process.cwd(), path)
  return short.startsWith('..') ? path : short
}

function parsePort(value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  const port = Number(value)
  if (value === '' || !Number.isSafeInteger(port) || port < 0 || port > PORT_MAX)
    throw new CliError(`--port is a number from 0 to ${PORT_MAX}`)
  return port
}
