import type { LogFields, Logger } from '../../src/util/logger.ts'
import { environmentVariable } from './environment.ts'

/** Keeps what the server logs; errors, and with GANGLION_TEST_LOG everything, go to standard error as well. */
export class TestLogger implements Logger {
  readonly lines: { level: string; message: string; fields: LogFields }[]
  readonly #isLoud = environmentVariable('GANGLION_TEST_LOG') !== undefined

  constructor(lines: TestLogger['lines'] = []) {
    this.lines = lines
  }

  debug(message: string, fields?: LogFields): void {
    this.#write('debug', message, fields)
  }

  info(message: string, fields?: LogFields): void {
    this.#write('info', message, fields)
  }

  warn(message: string, fields?: LogFields): void {
    this.#write('warn', message, fields)
  }

  error(message: string, fields?: LogFields): void {
    this.#write('error', message, fields)
  }

  isDebugEnabled(): boolean {
    return this.#isLoud
  }

  child(): Logger {
    return this
  }

  #write(level: string, message: string, fields: LogFields = {}): void {
    this.lines.push({ level, message, fields })
    if (level !== 'error' && !this.#isLoud) return
    const error = fields['error']
    const details = error instanceof Error ? `\n${error.stack ?? error.message}${causeOf(error)}` : ` ${JSON.stringify(fields)}`
    process.stderr.write(`server ${level}: ${message}${details}\n`)
  }
}

function causeOf(error: Error): string {
  return error.cause instanceof Error ? `\ncaused by ${error.cause.stack ?? error.cause.message}` : ''
}
