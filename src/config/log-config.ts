import { readFileSync } from 'node:fs'
import { DEFAULT_LOG_SETTINGS } from '../util/logger.ts'
import type { LogLevel, LogSettings } from '../util/logger.ts'
import type { LogRotation, LogSinkSettings } from '../util/log-sink.ts'
import { ConfigError, formatPlace } from './config-error.ts'
import { isLocatedList } from './located.ts'
import { readMap } from './reader.ts'
import type { MapReader, ReadContext } from './reader.ts'
import { parseYaml } from './yaml-file.ts'

const LEVELS: Readonly<Record<string, LogLevel>> = {
  NOTSET: 'debug',
  DEBUG: 'debug',
  INFO: 'info',
  WARN: 'warn',
  WARNING: 'warn',
  ERROR: 'error',
  CRITICAL: 'error',
  FATAL: 'error',
}
const MIDNIGHT_UNITS_DAYS: Readonly<Record<string, number>> = { MIDNIGHT: 1, D: 1 }

/**
 * Reads a Python `dictConfig` file: levels of the root and of loggers, and where lines go. Handlers that only buffer are seen through to
 * their target; formats are ours (text, or JSON where the formatter is one of Synapse's JSON formatters). Throws ConfigError.
 */
export function loadLogConfig(path: string): LogSettings {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new ConfigError([`log_config: cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`])
  }
  return parseLogConfig(text, path)
}

/** Reads the text of a `dictConfig` file. Throws ConfigError. */
export function parseLogConfig(text: string, file: string): LogSettings {
  const context: ReadContext = { problems: [], warnings: [], directory: '', readFile: () => '' }
  const reader = readMap(parseYaml(text, file, context.warnings), '', context)
  const root = reader.child('root')
  const names = listNames(root, 'handlers')
  const sinks = names.flatMap((name) => readHandler(reader, name, 0) ?? [])
  const settings: LogSettings = {
    rootLevel: readLevel(root, 'info'),
    levels: readLevels(reader.child('loggers')),
    sinks: sinks.length > 0 || names.length > 0 ? sinks : DEFAULT_LOG_SETTINGS.sinks,
  }
  if (context.problems.length > 0) throw new ConfigError(context.problems)
  return settings
}

function readLevels(loggers: MapReader): ReadonlyMap<string, LogLevel> {
  const levels = new Map<string, LogLevel>()
  for (const [name] of loggers.entries()) {
    // Synapse's loggers are Python modules; ours have the words after the first: `synapse.storage.SQL` is `storage.sql`.
    const own = name.toLowerCase().replace(/^synapse\.?/, '')
    const child = loggers.child(name)
    if (child.get('level')) levels.set(own, readLevel(child, 'info'))
  }
  return levels
}

function readLevel(reader: MapReader, fallback: LogLevel): LogLevel {
  const node = reader.get('level')
  if (!node || node.value === null) return fallback
  const level = LEVELS[String(node.value).toUpperCase()]
  if (level === undefined) reader.problem(node.place, 'level', `expected one of ${Object.keys(LEVELS).join(', ')}`)
  return level ?? fallback
}

const HANDLER_DEPTH_MAX = 5

function readHandler(reader: MapReader, name: string, depth: number): LogSinkSettings | undefined {
  const handlers = reader.child('handlers')
  const node = handlers.get(name)
  if (!node) {
    reader.context.problems.push(`${formatPlace(handlers.place)}: there is no handler ${JSON.stringify(name)}`)
    return undefined
  }
  const handler = handlers.child(name)
  const target = textOf(handler, 'target')
  if (target !== undefined && depth < HANDLER_DEPTH_MAX) return readHandler(reader, target, depth + 1)
  const level = readLevel(handler, 'debug')
  const common = {
    format: readFormat(reader, textOf(handler, 'formatter')),
    level: level === 'silent' ? ('error' as const) : level,
  }
  const path = textOf(handler, 'filename')
  if (path !== undefined) return { kind: 'file', path, rotation: readRotation(handler), ...common }
  if ((textOf(handler, 'class') ?? '').endsWith('NullHandler')) return undefined
  return { kind: 'stream', fd: textOf(handler, 'stream')?.endsWith('stdout') === true ? 1 : 2, ...common }
}

function readRotation(handler: MapReader): LogRotation | undefined {
  const kind = textOf(handler, 'class') ?? ''
  const keepCount = numberOf(handler, 'backupCount') ?? 0
  if (kind.endsWith('.RotatingFileHandler')) return { by: 'size', fileBytesMax: numberOf(handler, 'maxBytes') ?? 0, keepCount }
  if (!kind.endsWith('.TimedRotatingFileHandler')) return undefined
  const unitDays = MIDNIGHT_UNITS_DAYS[(textOf(handler, 'when') ?? 'H').toUpperCase()] ?? 1
  return { by: 'day', everyDays: unitDays * (numberOf(handler, 'interval') ?? 1), keepCount }
}

function readFormat(reader: MapReader, formatter: string | undefined): 'text' | 'json' {
  if (formatter === undefined) return 'text'
  const definition = reader.child('formatters').child(formatter)
  return /json/i.test(textOf(definition, '()') ?? textOf(definition, 'class') ?? '') ? 'json' : 'text'
}

function listNames(reader: MapReader, name: string): string[] {
  const node = reader.get(name)
  return node && isLocatedList(node.value) ? node.value.map((item) => String(item.value)) : []
}

function textOf(reader: MapReader, name: string): string | undefined {
  const value = reader.get(name)?.value
  return typeof value === 'string' ? value : undefined
}

function numberOf(reader: MapReader, name: string): number | undefined {
  const value = reader.get(name)?.value
  return typeof value === 'number' ? value : undefined
}
