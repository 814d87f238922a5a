import { loadConfig } from '../config/config.ts'
import { startEmbeddedPostgres } from '../process/embedded-postgres.ts'
import type { DatabaseOptions } from '../storage/database.ts'
import { getMigrationStatus, runMigrations } from '../storage/migrations.ts'
import { CliError, EXIT } from './cli-error.ts'
import { print } from './command.ts'
import type { Command } from './command.ts'
import { embeddedDirectoryOf } from './embedded-database.ts'
import { parseFlags } from './flags.ts'
import { openLog, openOutsideDatabase } from './run-server.ts'

const FLAGS = {
  'config-path': { type: 'string', short: 'c', multiple: true, value: 'FILE', doc: 'Configuration file; may be given again.' },
  status: { type: 'boolean', doc: 'Only tells what is done and what is to do.' },
} as const

/** Brings the database up to date. The server does it by itself at start; this is for doing it at another time. */
export const migrateCommand: Command = {
  name: 'migrate',
  summary: 'Brings the database up to date, or tells whether it is.',
  usage: '-c FILE [--status]',
  flags: FLAGS,
  async run(args) {
    const { flags } = parseFlags(args, FLAGS)
    if (flags['config-path'] === undefined) throw new CliError('name the configuration with -c')
    const config = loadConfig(flags['config-path'])
    if (config.database.name === 'psycopg2') return migrate(await openOutsideDatabase(config), flags.status === true)
    await using postgres = await startEmbeddedPostgres({ dataDir: embeddedDirectoryOf(config), logger: openLog(config) })
    return await migrate(postgres.connection, flags.status === true)
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
