import { rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config/config.ts'
import { loadLogConfig } from '../config/log-config.ts'
import { loadOrCreateSigningKeys } from '../config/signing-keys.ts'
import { startEmbeddedPostgres } from '../process/embedded-postgres.ts'
import type { EmbeddedPostgres } from '../process/embedded-postgres.ts'
import { startServer } from '../process/main.ts'
import type { RunningServer } from '../process/main.ts'
import type { DatabaseOptions } from '../storage/database.ts'
import { checkDatabase } from '../storage/requirements.ts'
import { createLogger, DEFAULT_LOG_SETTINGS } from '../util/logger.ts'
import type { Logger, RootLogger } from '../util/logger.ts'
import { OperatorError } from '../util/operator-error.ts'
import { systemRandom } from '../util/random.ts'
import { EXIT } from './cli-error.ts'
import { print, printError } from './command.ts'
import { outsideDatabaseOptions } from './database-options.ts'

// Ten seconds are promised; PostgreSQL gets what the rest leaves.
const SERVER_STOP_TIMEOUT_MS = 4_000
const STOP_TIMEOUT_MS = 9_000
const STOP_SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** Runs the main process in the foreground until a signal ends it. Returns the status to end with. */
export async function runServer(config: Config, options: { onListening?: (address: string) => void } = {}): Promise<number> {
  const logger = openLog(config)
  const stop = listenForStop()
  for (const warning of config.warnings) logger.warn(warning)
  const reopen = (): void => logger.reopen()
  process.on('SIGHUP', reopen)
  try {
    loadOrCreateSigningKeys(config, systemRandom)
    return await runUntilStopped(config, { logger, stop, ...options })
  } catch (error) {
    logger.debug('the server could not be started', { error })
    if (error instanceof Error && error.name === 'ConfigError') throw error
    printError(`ganglion: ${describeStartError(error)}`)
    return EXIT.failed
  } finally {
    process.off('SIGHUP', reopen)
    logger.close()
  }
}

/** Opens the log as the configuration says. */
export function openLog(config: Config): RootLogger {
  return createLogger(config.logging.logConfig === undefined ? DEFAULT_LOG_SETTINGS : loadLogConfig(config.logging.logConfig))
}

/** The folder of the embedded database. */
export function embeddedDirectoryOf(config: Config): string {
  return resolve(config.database.dataDirectory ?? join(config.directory, 'postgresql'))
}

interface Running {
  readonly logger: Logger
  readonly stop: StopRequest
  readonly onListening?: (address: string) => void
}

async function runUntilStopped(config: Config, { logger, stop, onListening }: Running): Promise<number> {
  let postgres: EmbeddedPostgres | undefined
  let server: RunningServer | undefined
  try {
    postgres =
      config.database.name === 'embedded'
        ? await startEmbeddedPostgres({ dataDir: embeddedDirectoryOf(config), logger, onFatal: stop.fail })
        : undefined
    const databaseOptions = postgres?.connection ?? (await openOutsideDatabase(config))
    server = await startServer({ config, logger, databaseOptions })
    writePidFile(config)
    announce(server.addresses, logger)
    if (server.addresses[0] !== undefined) onListening?.(server.addresses[0])
    const { reason, status } = await stop.requested
    logger.info('stopping', { because: reason })
    return status
  } finally {
    await stopAll({ server, postgres, logger })
    if (config.server.pidFile !== undefined) rmSync(config.server.pidFile, { force: true })
  }
}

/** One line, for people and scripts to wait for; further addresses are in the log. */
function announce([first, ...others]: readonly string[], logger: Logger): void {
  if (first === undefined) logger.warn('the configuration has no listeners: nobody can reach this server')
  else print(`listening on ${first.replace(/\/$/, '')}`)
  if (others.length > 0) logger.info('also listening', { addresses: others })
}

/** Checks the admin's own database before it is used. */
export async function openOutsideDatabase({ database }: Config): Promise<DatabaseOptions> {
  const options = outsideDatabaseOptions(database)
  await checkDatabase(options, database)
  return options
}

async function stopAll({
  server,
  postgres,
  logger,
}: {
  server: RunningServer | undefined
  postgres: EmbeddedPostgres | undefined
  logger: Logger
}): Promise<void> {
  const stopped = server?.stop().catch((error: unknown) => logger.error('the server did not stop cleanly', { error }))
  await Promise.race([stopped, sleep(SERVER_STOP_TIMEOUT_MS, undefined, { ref: false })])
  await postgres?.stop()
}

interface StopRequest {
  readonly requested: Promise<{ readonly reason: string; readonly status: number }>
  /** Stops because the database is gone for good. */
  readonly fail: () => void
}

/** Hears the first request to stop. Further ones change nothing: a terminal and a parent often send the same signal both. */
function listenForStop(): StopRequest {
  const { promise, resolve } = Promise.withResolvers<{ reason: string; status: number }>()
  const settle = (request: { reason: string; status: number }): void => {
    resolve(request)
    // Whatever hangs, even a start that is not done yet: an admin who asked for the end gets it.
    setTimeout(() => process.exit(request.status), STOP_TIMEOUT_MS).unref()
  }
  for (const signal of STOP_SIGNALS) process.on(signal, () => settle({ reason: signal, status: EXIT.ok }))
  // The launcher on an older Node died: nobody would stop us.
  process.on('disconnect', () => settle({ reason: 'the launcher is gone', status: EXIT.ok }))
  return { requested: promise, fail: () => settle({ reason: 'PostgreSQL cannot be started anew', status: EXIT.failed }) }
}

function writePidFile(config: Config): void {
  if (config.server.pidFile !== undefined) writeFileSync(config.server.pidFile, `${process.pid}\n`)
}

function describeStartError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error ? String(error.code) : ''
  if (code === 'EADDRINUSE') return `another program listens on that port already (${error.message}); choose another one`
  if (code === 'EACCES' && 'port' in error)
    return `this user may not listen on port ${String(error.port)}; ports below 1024 need root or a proxy`
  if (code === 'ECONNREFUSED' || code === 'ENOTFOUND') return `the database cannot be reached: ${error.message}`
  return error instanceof OperatorError ? error.message : (error.stack ?? error.message)
}
