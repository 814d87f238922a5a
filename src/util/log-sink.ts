import { mkdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { pino } from 'pino'
import { formatLogLine } from './log-format.ts'

/** Where log lines go, from which level on, and in which form. */
export type LogSinkSettings = {
  readonly format: 'text' | 'json'
  readonly level: 'debug' | 'info' | 'warn' | 'error'
} & (
  | { readonly kind: 'stream'; readonly fd: 1 | 2 }
  | { readonly kind: 'file'; readonly path: string; readonly rotation: LogRotation | undefined }
)

/** When a file is moved away and begun anew; `keepCount` old ones stay, named `.1`, `.2` … (by size) or `.YYYY-MM-DD` (daily). */
export type LogRotation =
  | { readonly by: 'size'; readonly fileBytesMax: number; readonly keepCount: number }
  | { readonly by: 'day'; readonly everyDays: number; readonly keepCount: number }

/** A sink that accepts pino's JSON lines. */
export interface OpenSink {
  write(jsonLine: string): void
  reopen(): void
  close(): void
}

const LEVELS = ['debug', 'info', 'warn', 'error', 'fatal']
const DAY_MS = 86_400_000

/** Opens a sink. Writes are synchronous: the last words before a crash are in the file. */
export function openSink(settings: LogSinkSettings): OpenSink {
  const target = settings.kind === 'stream' ? openStream(settings.fd) : openFile(settings.path, settings.rotation)
  const levelMin = LEVELS.indexOf(settings.level)
  return {
    write(jsonLine) {
      const { line, level, timeMs } = formatLogLine(jsonLine, settings.format)
      if (LEVELS.indexOf(level) >= levelMin) target.write(line, timeMs)
    },
    reopen: () => target.reopen(),
    close: () => target.close(),
  }
}

interface Target {
  write(line: string, timeMs: number): void
  reopen(): void
  close(): void
}

function openStream(fd: number): Target {
  const destination = pino.destination({ fd, sync: true })
  return {
    write: (line) => void destination.write(line),
    reopen: () => undefined,
    close: () => destination.flushSync(),
  }
}

function openFile(path: string, rotation: LogRotation | undefined): Target {
  mkdirSync(dirname(path), { recursive: true })
  const destination = pino.destination({ dest: path, sync: true, append: true })
  const stats = statSync(path)
  let bytesWritten = stats.size
  let period =
    rotation?.by === 'day' ? periodOf(stats.size > 0 ? stats.mtimeMs : Number.POSITIVE_INFINITY, rotation.everyDays) : 0
  return {
    write(line, timeMs) {
      if (rotation?.by === 'size' && rotation.fileBytesMax > 0 && bytesWritten + line.length > rotation.fileBytesMax) {
        shiftNumbered(path, rotation.keepCount)
        destination.reopen()
        bytesWritten = 0
      } else if (rotation?.by === 'day') {
        const now = periodOf(timeMs, rotation.everyDays)
        if (period === Number.POSITIVE_INFINITY) period = now
        if (now > period) {
          renameSync(path, `${path}.${dayName(period * rotation.everyDays)}`)
          rmSync(`${path}.${dayName((now - rotation.keepCount - 1) * rotation.everyDays)}`, { force: true })
          destination.reopen()
          period = now
        }
      }
      destination.write(line)
      bytesWritten += line.length
    },
    reopen() {
      destination.reopen()
      bytesWritten = 0
    },
    close: () => destination.flushSync(),
  }
}

function periodOf(timeMs: number, everyDays: number): number {
  return Math.floor(timeMs / (DAY_MS * everyDays))
}

function dayName(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10)
}

function shiftNumbered(path: string, keepCount: number): void {
  rmSync(`${path}.${keepCount}`, { force: true })
  for (let index = keepCount - 1; index >= 0; index--) {
    const from = index === 0 ? path : `${path}.${index}`
    if (statSync(from, { throwIfNoEntry: false })) renameSync(from, `${path}.${index + 1}`)
  }
  if (keepCount === 0) rmSync(path, { force: true })
}
