import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { loadConfig } from '../config/config.ts'
import { loadOrCreateSigningKeys, signingKeyPathOf } from '../config/signing-keys.ts'
import { kindOf, WORKER_APPS } from '../config/topology.ts'
import type { Config } from '../config/config.ts'
import { readEnvironment } from '../util/environment.ts'
import { systemRandom } from '../util/random.ts'
import { CliError, EXIT } from './cli-error.ts'
import { print } from './command.ts'
import type { Command } from './command.ts'
import { listDefaultFiles, refuseSecrets } from './config-files.ts'
import { buildConfigFile, buildLogConfigFile } from './config-template.ts'
import { parseFlags } from './flags.ts'
import type { Parsed } from './flags.ts'
import { runServer } from './run-server.ts'

const FLAGS = {
  'config-path': {
    type: 'string',
    short: 'c',
    multiple: true,
    value: 'FILE',
    doc: 'Configuration file, or a folder of them; may be given again.',
  },
  'generate-config': { type: 'boolean', doc: 'Makes a configuration file and what belongs to it, then ends.' },
  'generate-keys': { type: 'boolean', doc: 'Makes the signing key and log configuration where they are missing, then ends.' },
  'generate-missing-configs': { type: 'boolean', doc: 'The same as --generate-keys.' },
  'generate-missing-and-run': { type: 'boolean', doc: 'Makes what is missing and runs; the default.' },
  'server-name': { type: 'string', short: 'H', value: 'NAME', doc: 'Name of the server, for --generate-config.' },
  'report-stats': {
    type: 'string',
    value: 'yes/no',
    doc: 'Accepted, for --generate-config: this server never reports anything.',
  },
  'config-directory': {
    type: 'string',
    value: 'DIR',
    doc: 'Where key and log configuration go; beside the configuration by default.',
  },
  'keys-directory': { type: 'string', value: 'DIR', doc: 'The same as --config-directory.' },
  'data-directory': { type: 'string', value: 'DIR', doc: 'Where media and database go; the current folder by default.' },
  'open-private-ports': { type: 'boolean', doc: 'Listens on all addresses, for --generate-config.' },
  'enable-metrics': { type: 'boolean', doc: 'Adds a listener for Prometheus, for --generate-config.' },
  'enable-registration': { type: 'boolean', doc: 'Overrides enable_registration.' },
  'no-secrets-in-config': { type: 'boolean', doc: 'Refuses secrets that stand in the configuration itself.' },
  daemonize: { type: 'boolean', short: 'D', doc: 'Accepted and ignored: let the service manager do that.' },
} as const
const PORT_DEFAULT = 8008

type Flags = Parsed<typeof FLAGS>['flags']

/** Runs the main process, or makes its configuration. Flags as Synapse's `synapse.app.homeserver`. */
export const homeserverCommand: Command = {
  name: 'homeserver',
  summary: 'Runs the homeserver with a configuration file, or makes one.',
  usage:
    '-c FILE [-c FILE …]\n       ganglion homeserver --generate-config -c FILE --server-name NAME --report-stats no [--data-directory DIR]',
  flags: FLAGS,
  async run(args) {
    const { flags } = parseFlags(args, FLAGS)
    const files = flags['config-path'] ?? listDefaultFiles()
    if (files.length === 0)
      throw new CliError('name a configuration file with -c; --generate-config --server-name NAME -c FILE makes one')
    if (flags['generate-config'] === true) return generate(files, flags)
    const overrides = flags['enable-registration'] === true ? { enable_registration: true } : {}
    if (flags['generate-keys'] === true || flags['generate-missing-configs'] === true) return generateKeys(files)
    if (flags['no-secrets-in-config'] === true) refuseSecrets(files)
    const config = loadConfig(files, overrides)
    refuseWorker(config)
    return runServer(config)
  },
}

/** A worker that runs as the main process would do everything twice. Synapse's image starts workers by this variable, too. */
function refuseWorker({ workers }: Config): void {
  const asked = WORKER_APPS[readEnvironment('SYNAPSE_WORKER') ?? '']
  if (kindOf(workers) === 'main' || (asked !== undefined && asked !== 'main')) return
  throw new CliError(`worker_app: ${workers.workerApp ?? ''} is a worker; start it with \`ganglion worker\` and the same files`, {
    status: EXIT.config,
  })
}

function generate(files: readonly string[], flags: Flags): number {
  const [file, ...more] = files
  if (file === undefined || more.length > 0) throw new CliError('--generate-config makes one file: give -c once')
  const serverName = flags['server-name']
  if (serverName === undefined)
    throw new CliError('--generate-config needs --server-name NAME: what stands after the colon in user ids')
  const reportStats = flags['report-stats']
  if (reportStats === undefined)
    throw new CliError('--generate-config needs --report-stats yes or no; this server reports nothing either way')
  if (reportStats !== 'yes' && reportStats !== 'no') throw new CliError('--report-stats is yes or no')
  const path = resolve(file)
  if (existsSync(path)) {
    print(`${path} exists already; generating what it needs and lacks`)
  } else {
    const configDirectory = resolve(flags['config-directory'] ?? flags['keys-directory'] ?? dirname(path))
    const dataDirectory = resolve(flags['data-directory'] ?? '.')
    mkdirSync(dirname(path), { recursive: true })
    print(`Generating config file ${path}`)
    const logConfig = join(configDirectory, `${serverName.replace(/:/g, '_')}.log.config`)
    writeLogConfig(logConfig, join(dataDirectory, 'homeserver.log'))
    const text = buildConfigFile(
      {
        serverName,
        configDirectory,
        dataDirectory,
        logConfig,
        port: PORT_DEFAULT,
        bindAddresses: flags['open-private-ports'] === true ? ['::', '0.0.0.0'] : ['::1', '127.0.0.1'],
        withMetricsListener: flags['enable-metrics'] === true,
      },
      systemRandom,
    )
    writeFileSync(path, text, { mode: 0o600, flag: 'wx' })
  }
  return generateKeys([path])
}

function generateKeys(files: readonly string[]): number {
  const config = loadConfig(files)
  const keyPath = signingKeyPathOf(config)
  if (config.keys.signingKey === undefined && !existsSync(keyPath)) print(`Generating signing key file ${keyPath}`)
  loadOrCreateSigningKeys(config, systemRandom)
  const { logConfig } = config.logging
  if (logConfig !== undefined && !existsSync(logConfig)) writeLogConfig(logConfig, resolve('homeserver.log'))
  return EXIT.ok
}

function writeLogConfig(path: string, logFile: string): void {
  if (existsSync(path)) return
  print(`Generating log config file ${path}`)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, buildLogConfigFile(logFile))
}
