import { readFileSync, writeFileSync } from 'node:fs'
import { systemRandom } from '../util/random.ts'
import { EXIT } from './cli-error.ts'
import type { Command } from './command.ts'
import { buildConfigFile, buildLogConfigFile } from './config-template.ts'
import { parseFlags } from './flags.ts'

const PORT_DEFAULT = 8008
const OUTPUT = { type: 'string', short: 'o', value: 'FILE', doc: 'Where to write; standard output by default.' } as const
const CONFIG_FLAGS = {
  'config-dir': { type: 'string', value: 'DIR', doc: 'Folder of signing key and log configuration.' },
  'data-dir': { type: 'string', value: 'DIR', doc: 'Folder of media and database.' },
  'server-name': { type: 'string', value: 'NAME', doc: 'Name of the server.' },
  'report-stats': { type: 'string', value: 'yes/no', doc: 'Accepted: this server never reports anything.' },
  'generate-secrets': { type: 'boolean', doc: 'Accepted: secrets are always generated.' },
  'header-file': { type: 'string', value: 'FILE', doc: 'A text to put before the configuration.' },
  'output-file': OUTPUT,
} as const
const LOG_FLAGS = {
  'log-file': { type: 'string', short: 'f', value: 'FILE', doc: 'The log file.' },
  'output-file': OUTPUT,
} as const

/** Prints a configuration. Flags as Synapse's `generate_config`. */
export const generateConfigCommand: Command = {
  name: 'generate-config',
  summary: 'Prints a configuration file.',
  usage: '[--server-name NAME] [--config-dir DIR] [--data-dir DIR] [-o FILE]',
  flags: CONFIG_FLAGS,
  isHidden: true,
  run(args) {
    const { flags } = parseFlags(args, CONFIG_FLAGS)
    const header = flags['header-file'] === undefined ? '' : readFileSync(flags['header-file'], 'utf8')
    const text = buildConfigFile(
      {
        serverName: flags['server-name'] ?? 'SERVERNAME',
        configDirectory: flags['config-dir'] ?? 'CONFDIR',
        dataDirectory: flags['data-dir'] ?? 'DATADIR',
        port: PORT_DEFAULT,
        bindAddresses: ['::1', '127.0.0.1'],
      },
      systemRandom,
    )
    write(header + text, flags['output-file'])
    return Promise.resolve(EXIT.ok)
  },
}

/** Prints a log configuration. Flags as Synapse's `generate_log_config`. */
export const generateLogConfigCommand: Command = {
  name: 'generate-log-config',
  summary: 'Prints a log configuration file.',
  usage: '[-f LOGFILE] [-o FILE]',
  flags: LOG_FLAGS,
  isHidden: true,
  run(args) {
    const { flags } = parseFlags(args, LOG_FLAGS)
    write(buildLogConfigFile(flags['log-file'] ?? '/var/log/ganglion/homeserver.log'), flags['output-file'])
    return Promise.resolve(EXIT.ok)
  },
}

function write(text: string, file: string | undefined): void {
  if (file === undefined || file === '-') process.stdout.write(text)
  else writeFileSync(file, text, { mode: 0o600 })
}
