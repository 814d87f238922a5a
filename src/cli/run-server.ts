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
  const stopRequested = waitForStop()
  for (const warning of config.warnings) logger.warn(warning)
  const reopen = (): void => logger.reopen()
  process.on('SIGHUP', reopen)
  try {
    loadOrCreateSigningKeys(config, systemRandom)
    return await runUntilStopped(config, { logger, stopRequested, ...options })
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
  readonly stopRequested: Promise<string>
  readonly onListening?: (address: string) => void
}

async function runUntilStopped(config: Config, { logger, stopRequested, onListening }: Running): Promise<number> {
  let postgres: EmbeddedPostgres | undefined
  let server: RunningServer | undefined
  try {
    postgres =
      config.database.name === 'embedded'
        ? await startEmbeddedPostgres({ dataDir: embeddedDirectoryOf(config), logger })
        : undefined
    const databaseOptions = postgres?.connection ?? (await openOutsideDatabase(config))
    server = await startServer({ config, logger, databaseOptions })
    writePidFile(config)
    // One line, for people and scripts to wait for; the other addresses are in the log.
    const [address = 'nowhere', ...others] = server.addresses
    print(`listening on ${address.replace(/\/$/, '')}`)
    if (others.length > 0) logger.info('also listening', { addresses: others })
    onListening?.(address)
    logger.info('stopping', { because: await stopRequested })
  } finally {
    await stopAll({ server, postgres, logger })
    if (config.server.pidFile !== undefined) rmSync(config.server.pidFile, { force: true })
  }
  return EXIT.ok
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
  // Whatever hangs: an admin who asked for the end gets it.
  const timer = setTimeout(() => process.exit(EXIT.ok), STOP_TIMEOUT_MS)
  const stopped = server?.stop().catch((error: unknown) => logger.error('the server did not stop cleanly', { error }))
  await Promise.race([stopped, sleep(SERVER_STOP_TIMEOUT_MS, undefined, { ref: false })])
  await postgres?.stop()
  clearTimeout(timer)
}

/** Settles at the first request to stop. Further ones change nothing: a terminal and a parent often send the same signal both. */
function waitForStop(): Promise<string> {
  return new Promise((resolveStop) => {
    for (const signal of STOP_SIGNALS) process.on(signal, () => resolveStop(signal))
    // The launcher on an older Node died: nobody would stop us.
    process.on('disconnect', () => resolveStop('the launcher is gone'))
  })
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
