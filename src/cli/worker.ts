import { loadConfig } from '../config/config.ts'
import { kindOf } from '../config/topology.ts'
import { CliError, EXIT } from './cli-error.ts'
import type { Command } from './command.ts'
import { listDefaultFiles, refuseSecrets } from './config-files.ts'
import { parseFlags } from './flags.ts'
import { runServer } from './run-server.ts'

const FLAGS = {
  'config-path': {
    type: 'string',
    short: 'c',
    multiple: true,
    value: 'FILE',
    doc: "The shared configuration file first, then the worker's own; a folder means all its files.",
  },
  'no-secrets-in-config': { type: 'boolean', doc: 'Refuses secrets that stand in the configuration itself.' },
  daemonize: { type: 'boolean', short: 'D', doc: 'Accepted and ignored: let the service manager do that.' },
  'no-redirect-stdio': { type: 'boolean', short: 'n', doc: 'Accepted and ignored: nothing is redirected.' },
} as const

/** Runs one worker. Flags as Synapse's `synapse_worker`. */
export const workerCommand: Command = {
  name: 'worker',
  summary: 'Runs one worker beside the main process.',
  usage: '-c SHARED -c WORKER',
  flags: FLAGS,
  async run(args) {
    const { flags } = parseFlags(args, FLAGS)
    const files = flags['config-path'] ?? listDefaultFiles()
    if (files.length === 0) throw new CliError("name the shared configuration file and the worker's own: -c SHARED -c WORKER")
    const config = loadConfig(files)
    if (kindOf(config.workers) === 'main') {
      throw new CliError(
        `no file says what this worker is: add \`worker_app: synapse.app.generic_worker\` and a \`worker_name\` to ${files.at(-1) ?? ''}`,
        { status: EXIT.config },
      )
    }
    if (flags['no-secrets-in-config'] === true) refuseSecrets(files)
    return runServer(config)
  },
}
