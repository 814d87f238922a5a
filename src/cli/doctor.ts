import { examine } from '../process/doctor/doctor.ts'
import { systemClock } from '../util/clock.ts'
import { CliError, EXIT } from './cli-error.ts'
import { print } from './command.ts'
import type { Command } from './command.ts'
import { outsideDatabaseOptions } from './database-options.ts'
import { parseFlags } from './flags.ts'

const FLAGS = {
  'config-path': {
    type: 'string',
    short: 'c',
    multiple: true,
    value: 'FILE',
    doc: 'The shared configuration; may be given again.',
  },
  'all-processes': { type: 'string', short: 'a', value: 'DIR', doc: "The folder of the workers' configurations." },
  offline: { type: 'boolean', doc: 'Reads the files and connects to nothing.' },
  'through-proxy': { type: 'boolean', doc: 'Also sends requests to `public_baseurl`, and looks where they land.' },
} as const

/** Checks configuration and surroundings. Ends with status 1 when there are errors. */
export const doctorCommand: Command = {
  name: 'doctor',
  summary: 'Checks configuration, database, Redis, processes and names, and says what to mend.',
  usage: '-c SHARED [-a DIR]',
  flags: FLAGS,
  async run(args) {
    const { flags } = parseFlags(args, FLAGS)
    if (flags['config-path'] === undefined) throw new CliError('name the shared configuration with -c')
    const findings = await examine({
      shared: flags['config-path'],
      workersDirectory: flags['all-processes'],
      isOffline: flags.offline === true,
      isProxyAsked: flags['through-proxy'] === true,
      clock: systemClock,
      connectionOf: outsideDatabaseOptions,
    })
    for (const severity of ['error', 'warning'] as const) {
      for (const finding of findings.filter((it) => it.severity === severity)) print(`${severity.padEnd(7)}  ${finding.text}`)
    }
    const errors = findings.filter(({ severity }) => severity === 'error').length
    print(findings.length === 0 ? 'Nothing to mend.' : `${errors} errors, ${findings.length - errors} warnings`)
    return errors === 0 ? EXIT.ok : EXIT.failed
  },
}
