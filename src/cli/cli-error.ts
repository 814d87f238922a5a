/** Statuses that the program ends with. Sources: sysexits.h; 64 for a wrong command line, 78 for a wrong configuration; 130 is a shell's for SIGINT. */
export const EXIT = { ok: 0, failed: 1, usage: 64, config: 78, interrupted: 130 } as const

/** Ends the program with one message for the person at the terminal. */
export class CliError extends Error {
  readonly status: number

  constructor(message: string, options: { status?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.name = 'CliError'
    this.status = options.status ?? EXIT.usage
  }
}
