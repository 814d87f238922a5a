import { loadConfig } from '../config/config.ts'
import type { DatabaseOptions } from '../storage/database.ts'
import { getMigrationStatus, runMigrations } from '../storage/migrations.ts'
import { CliError, EXIT } from './cli-error.ts'
import { print } from './command.ts'
import type { Command } from './command.ts'
import { parseFlags } from './flags.ts'
import { withDatabase } from './with-database.ts'

const FLAGS = {
  'config-path': { type: 'string', short: 'c', multiple: true, value: 'FILE', doc: 'Configuration file; may be given again.' },
  status: { type: 'boolean', doc: 'Only tells what is done and what is to do.' },
  'database-config': {
    type: 'string',
    multiple: true,
    value: 'FILE',
    doc: "The configuration, by the name of Synapse's update_synapse_database.",
  },
  'run-background-updates': { type: 'boolean', doc: 'Accepted: migrations leave no work behind.' },
  verbose: { type: 'boolean', short: 'v', doc: 'Accepted: each step is shown anyway.' },
} as const

/** Brings the database up to date. The server does it by itself at start; this is for doing it at another time. */
export const migrateCommand: Command = {
  name: 'migrate',
  summary: 'Brings the database up to date, or tells whether it is.',
  usage: '-c FILE [--status]',
  flags: FLAGS,
  async run(args) {
    const { flags } = parseFlags(args, FLAGS)
    const files = [...(flags['config-path'] ?? []), ...(flags['database-config'] ?? [])]
    if (files.length === 0) throw new CliError('name the configuration with -c')
    return withDatabase(loadConfig(files), (options) => migrate(options, flags.status === true))
  },
}

async function migrate(options: DatabaseOptions, isStatusOnly: boolean): Promise<number> {
  if (isStatusOnly) {
    const { applied, pending } = await getMigrationStatus(options)
    for (const file of applied) print(`done     ${file}`)
    for (const file of pending) print(`pending  ${file}`)
    return EXIT.ok
  }
  await runMigrations(options, (file, index, total) => print(`[${index}/${total}] ${file}`))
  print('The database is up to date.')
  return EXIT.ok
}
