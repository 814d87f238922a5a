import { rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config/config.ts'
import { loadLogConfig } from '../config/log-config.ts'
import { loadOrCreateSigningKeys, loadSigningKeys } from '../config/signing-keys.ts'
import { describeTopology, kindOf } from '../config/topology.ts'
import { embeddedConnection, findRunningPostgres, startEmbeddedPostgres } from '../process/embedded-postgres.ts'
import type { EmbeddedPostgres } from '../process/embedded-postgres.ts'
import { startServer } from '../process/main.ts'
import type { RunningServer } from '../process/main.ts'
import { ServiceManager } from '../process/service-manager.ts'
import type { DatabaseOptions } from '../storage/database.ts'
import { checkDatabase } from '../storage/requirements.ts'
import { readEnvironment } from '../util/environment.ts'
import { createLogger, DEFAULT_LOG_SETTINGS } from '../util/logger.ts'
import type { Logger, RootLogger } from '../util/logger.ts'
import { OperatorError } from '../util/operator-error.ts'
import { systemRandom } from '../util/random.ts'
import { EXIT } from './cli-error.ts'
import { print, printError } from './command.ts'
import { outsideDatabaseOptions } from './database-options.ts'
import { EMBEDDED_SOCKET_VARIABLE, embeddedDirectoryOf } from './embedded-database.ts'

// Ten seconds are promised; PostgreSQL gets what the rest leaves.
const SERVER_STOP_TIMEOUT_MS = 4_000
const STOP_TIMEOUT_MS = 9_000
const STOP_SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** Runs one process, the main one or a worker, in the foreground until a signal ends it. Returns the status to end with. */
export async function runServer(config: Config, options: { onListening?: (address: string) => void } = {}): Promise<number> {
  const logger = openLog(config)
  const stop = listenForStop()
  for (const warning of config.warnings) logger.warn(warning)
  const reopen = (): void => logger.reopen()
  process.on('SIGHUP', reopen)
  try {
    if (kindOf(config.workers) === 'main') loadOrCreateSigningKeys(config, systemRandom)
    else loadSigningKeys(config)
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
  const { logConfig } = describeTopology(config)
  return createLogger(logConfig === undefined ? DEFAULT_LOG_SETTINGS : loadLogConfig(logConfig))
}

interface Running {
  readonly logger: Logger
  readonly stop: StopRequest
  readonly onListening?: (address: string) => void
}

async function runUntilStopped(config: Config, { logger, stop, onListening }: Running): Promise<number> {
  let postgres: EmbeddedPostgres | undefined
  let server: RunningServer | undefined
  const { pidFile } = describeTopology(config)
  const manager = new ServiceManager(logger)
  try {
    if (runsDatabase(config))
      postgres = await startEmbeddedPostgres({
        dataDir: embeddedDirectoryOf(config),
        logger,
        onFatal: () => stop.fail('PostgreSQL cannot be started anew'),
      })
    const databaseOptions = postgres?.connection ?? (await findDatabase(config))
    const onReplaced = (): void => stop.fail('another process has taken the name of this one')
    server = await startServer({ config, logger, databaseOptions, onReplaced })
    if (pidFile !== undefined) writeFileSync(pidFile, `${process.pid}\n`)
    announce(server.addresses, logger)
    manager.ready(server.addresses)
    if (server.addresses[0] !== undefined) onListening?.(server.addresses[0])
    const { reason, status } = await stop.requested
    logger.info('stopping', { because: reason })
    return status
  } finally {
    manager.stopping()
    await stopAll({ server, postgres, logger })
    if (pidFile !== undefined) rmSync(pidFile, { force: true })
  }
}

/** The main process runs the embedded database, unless a supervisor does it for all. */
function runsDatabase(config: Config): boolean {
  const isEmbedded = config.database.name === 'embedded' && readEnvironment(EMBEDDED_SOCKET_VARIABLE) === undefined
  return isEmbedded && kindOf(config.workers) === 'main'
}

/** Finds the database that runs already: the admin's own one, or the embedded one of another process. */
async function findDatabase(config: Config): Promise<DatabaseOptions> {
  if (config.database.name !== 'embedded') return openOutsideDatabase(config)
  const sockets = readEnvironment(EMBEDDED_SOCKET_VARIABLE)
  if (sockets !== undefined) return embeddedConnection(sockets)
  const directory = embeddedDirectoryOf(config)
  const running = findRunningPostgres(directory)
  if (running !== undefined) return running
  throw new OperatorError(
    `Nobody runs the embedded database in ${directory}: start the main process first, or all processes with \`ganglion up\` or \`ganglion ctl\`.`,
  )
}

/** One line, for people and scripts to wait for; further addresses are in the log. */
function announce([first, ...others]: readonly string[], logger: Logger): void {
  if (first === undefined) logger.warn('no listeners are configured for this process: nobody can reach it')
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
  /** Stops because of something that only a new start can mend: the database is gone for good, say. */
  readonly fail: (reason: string) => void
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
  return { requested: promise, fail: (reason) => settle({ reason, status: EXIT.failed }) }
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
