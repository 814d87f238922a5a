import type { FlagTable } from './flags.ts'

/** One subcommand. */
export interface Command {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** What stands after the name: `[flags] URL`. */
  readonly usage: string
  readonly flags: FlagTable
  /** Not in the list of commands: it has a place of its own. */
  readonly isHidden?: boolean
  /** Runs it. Returns the status that the program ends with. Throws CliError or ConfigError. */
  run(args: readonly string[]): Promise<number>
}

/** Writes to standard output: what somebody may want to pipe on. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** Writes to standard error: what only the person at the terminal wants to read. */
export function printError(text: string): void {
  process.stderr.write(`${text}\n`)
}
