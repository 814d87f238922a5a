import { pino } from 'pino'
import type { Level, Logger as PinoLogger } from 'pino'
import { openSink } from './log-sink.ts'
import type { LogSinkSettings, OpenSink } from './log-sink.ts'

/** What a log line carries beside its message. `error` is printed with its stack and causes. */
export type LogFields = Readonly<Record<string, unknown>>

/** Writes the log. Secrets (access tokens, passwords, Authorization headers) are blanked on the way. */
export interface Logger {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** Whether a debug line would be written: ask before building an expensive one. */
  isDebugEnabled(): boolean
  /** A logger for a part of the program; names nest with dots, and levels are set by name. */
  child(name: string): Logger
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** How the log is written. */
export interface LogSettings {
  readonly rootLevel: LogLevel
  /** Levels by logger name; the longest name that fits wins (`http` covers `http.access`). */
  readonly levels: ReadonlyMap<string, LogLevel>
  readonly sinks: readonly LogSinkSettings[]
}

/** A logger that owns its files. */
export interface RootLogger extends Logger {
  /** Opens the files anew, after something outside moved them away. */
  reopen(): void
  /** Writes out what is buffered and closes the files. */
  close(): void
}

/** Human-readable lines on stderr, from level info on. */
export const DEFAULT_LOG_SETTINGS: LogSettings = {
  rootLevel: 'info',
  levels: new Map(),
  sinks: [{ kind: 'stream', fd: 2, format: 'text', level: 'debug' }],
}

/** Opens the sinks and makes the root logger. */
export function createLogger(settings: LogSettings = DEFAULT_LOG_SETTINGS): RootLogger {
  const sinks = settings.sinks.map(openSink)
  const base = pino(
    {
      level: 'trace',
      base: null,
      timestamp: pino.stdTimeFunctions.epochTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    fanOut(sinks),
  )
  const root = makeLogger(base, '', settings)
  return {
    ...root,
    reopen: () => sinks.forEach((sink) => sink.reopen()),
    close: () => sinks.forEach((sink) => sink.close()),
  }
}

function fanOut(sinks: readonly OpenSink[]): { write(line: string): void } {
  return {
    write(line) {
      for (const sink of sinks) sink.write(line)
    },
  }
}

function makeLogger(base: PinoLogger, name: string, settings: LogSettings): Logger {
  const logger = base.child(name === '' ? {} : { name }, { level: levelFor(name, settings) })
  const write = (level: Level, message: string, fields: LogFields | undefined): void => {
    if (!logger.isLevelEnabled(level)) return
    if (fields === undefined) logger[level](message)
    else logger[level](describeErrors(fields), message)
  }
  return {
    debug: (message, fields) => write('debug', message, fields),
    info: (message, fields) => write('info', message, fields),
    warn: (message, fields) => write('warn', message, fields),
    error: (message, fields) => write('error', message, fields),
    isDebugEnabled: () => logger.isLevelEnabled('debug'),
    child: (childName) => makeLogger(base, name === '' ? childName : `${name}.${childName}`, settings),
  }
}

function levelFor(name: string, settings: LogSettings): LogLevel {
  let candidate = name
  while (candidate !== '') {
    const level = settings.levels.get(candidate)
    if (level !== undefined) return level
    candidate = candidate.slice(0, Math.max(candidate.lastIndexOf('.'), 0))
  }
  return settings.rootLevel
}

/** JSON has no errors: writes them as their stack, causes included. */
function describeErrors(fields: LogFields): LogFields {
  let copy: Record<string, unknown> | undefined
  for (const [key, value] of Object.entries(fields)) {
    if (value instanceof Error) (copy ??= { ...fields })[key] = describeError(value, 0)
  }
  return copy ?? fields
}

const CAUSE_DEPTH_MAX = 5

function describeError(error: Error, depth: number): string {
  const own = error.stack ?? String(error)
  return error.cause instanceof Error && depth < CAUSE_DEPTH_MAX
    ? `${own}\ncaused by ${describeError(error.cause, depth + 1)}`
    : own
}
