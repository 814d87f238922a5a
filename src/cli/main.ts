import { ConfigError } from '../config/config-error.ts'
import { findNearest } from '../util/nearest.ts'
import { CliError, EXIT } from './cli-error.ts'
import { print, printError } from './command.ts'
import type { Command } from './command.ts'
import { describeFlags } from './flags.ts'
import { readVersion } from '../util/version.ts'

// Loaded when asked for: `--version` and `hash-password` need no server in memory.
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  start: async () => (await import('./start.ts')).startCommand,
  homeserver: async () => (await import('./homeserver.ts')).homeserverCommand,
  worker: async () => (await import('./worker.ts')).workerCommand,
  up: async () => (await import('./up.ts')).upCommand,
  ctl: async () => (await import('./ctl.ts')).ctlCommand,
  'register-user': async () => (await import('./register-user.ts')).registerUserCommand,
  'hash-password': async () => (await import('./hash-password.ts')).hashPasswordCommand,
  'generate-signing-key': async () => (await import('./signing-key.ts')).generateSigningKeyCommand,
  'export-signing-key': async () => (await import('./signing-key.ts')).exportSigningKeyCommand,
  'generate-config': async () => (await import('./generate-config.ts')).generateConfigCommand,
  'generate-log-config': async () => (await import('./generate-config.ts')).generateLogConfigCommand,
  'proxy-config': async () => (await import('./proxy-config.ts')).proxyConfigCommand,
  doctor: async () => (await import('./doctor.ts')).doctorCommand,
  'review-recent-signups': async () => (await import('./review-recent-signups.ts')).reviewRecentSignupsCommand,
  migrate: async () => (await import('./migrate.ts')).migrateCommand,
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args
  if (name === '--version' || name === '-V') {
    print(`ganglion ${readVersion()}`)
    return EXIT.ok
  }
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    print(await describeProgram())
    return name === undefined ? EXIT.usage : EXIT.ok
  }
  const load = COMMANDS[name]
  if (load === undefined) {
    const nearest = findNearest(name, [...Object.keys(COMMANDS), '--version', '--help'])
    throw new CliError(`there is no command ${JSON.stringify(name)}${nearest === undefined ? '' : `; did you mean ${nearest}?`}`)
  }
  const command = await load()
  if (rest.includes('--help') || rest.includes('-h')) {
    print(`${command.summary}\n\nUsage: ganglion ${command.name} ${command.usage}\n\n${describeFlags(command.flags)}`)
    return EXIT.ok
  }
  if (rest.includes('--version')) {
    print(`ganglion ${readVersion()}`)
    return EXIT.ok
  }
  return command.run(rest)
}

async function describeProgram(): Promise<string> {
  const commands = (await Promise.all(Object.values(COMMANDS).map((load) => load()))).filter(
    (command) => command.isHidden !== true,
  )
  const width = Math.max(...commands.map(({ name }) => name.length)) + 2
  const list = commands.map(({ name, summary }) => `  ${name.padEnd(width)}${summary}`).join('\n')
  return `Ganglion, a Matrix homeserver.\n\nUsage: ganglion COMMAND [flags]\n\n${list}\n\nganglion COMMAND --help shows the flags; ganglion --version the version.`
}

async function runMain(): Promise<number> {
  try {
    return await main(process.argv.slice(2))
  } catch (error) {
    if (error instanceof CliError) {
      printError(`ganglion: ${error.message}`)
      return error.status
    }
    if (error instanceof ConfigError) {
      printError(`The configuration is not right:\n${error.problems.map((problem) => `  ${problem}`).join('\n')}`)
      return EXIT.config
    }
    printError(`ganglion: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    return EXIT.failed
  }
}

// Not `exitCode`: a forgotten timer or connection must not keep a program alive that has said its last word.
process.exit(await runMain())
