import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DatabaseOptions } from '../storage/database.ts'
import type { FileLock } from '../util/lock-file.ts'
import { acquireFileLock, isProcessAlive, LockHeldError } from '../util/lock-file.ts'
import type { Logger } from '../util/logger.ts'
import { OperatorError } from '../util/operator-error.ts'
import { isSystemError } from '../util/system-error.ts'
import { canRun, canWrite, giveTo, listAccounts, POSTGRES_ENVIRONMENT } from './embedded-postgres-account.ts'
import type { PostgresAccount } from './embedded-postgres-account.ts'
import { copyPostgresBinaries, createLibraryLinks, findPostgresBinaries } from './embedded-postgres-binaries.ts'
import type { PostgresBinaries } from './embedded-postgres-binaries.ts'
import { readPostmaster, stopLeftover, stopProcess, waitUntil } from './embedded-postgres-process.ts'
import { computeClusterSettings } from './embedded-postgres-settings.ts'

/** A PostgreSQL that we started, and stop. */
export interface EmbeddedPostgres extends AsyncDisposable {
  readonly connection: DatabaseOptions
  /** Process id of the running postmaster. */
  readonly pid: number
  /** Disconnects all clients, writes everything out, ends. */
  stop(): Promise<void>
}

/** What the embedded PostgreSQL needs. */
export interface EmbeddedPostgresDeps {
  /** Folder of everything that belongs to it. */
  readonly dataDir: string
  readonly logger: Logger
  /** Called when it ended and cannot be started anew. */
  readonly onFatal?: () => void
}

const DATABASE_USER = 'ganglion'
const DATABASE_NAME = 'postgres'
// The kernel's limit for a socket's path is 107 bytes, and the name is `/.s.PGSQL.5432`.
const SOCKET_DIRECTORY_BYTES_MAX = 107 - '/.s.PGSQL.5432'.length
const START_TIMEOUT_MS = 120_000
const LOG_BYTES_MAX = 10 * 1024 * 1024
const RESTARTS_MAX = 5
/** After so long without trouble, earlier trouble does not count. */
const STABLE_MS = 600_000
const LOCK_WAIT_MS = 3_000
const LOCK_POLL_MS = 100
const START_ATTEMPTS_MAX = 20
const RESTART_DELAY_MS = 500

/**
 * Runs PostgreSQL on the files in `dataDir` (made on the first start), reachable by a Unix socket only. A postmaster that outlived its
 * supervisor is stopped first. Throws, with a sentence for the admin, when another process uses the folder or it cannot be started.
 */
export async function startEmbeddedPostgres(deps: EmbeddedPostgresDeps): Promise<EmbeddedPostgres> {
  const logger = deps.logger.child('postgres')
  const root = prepareDirectory(deps.dataDir)
  const lock = await lockDirectory(root, logger)
  try {
    const files = listFiles(root)
    // Before anything looks at the files: a postmaster may still be writing them.
    await stopLeftover(files.cluster, logger)
    const { binaries, account } = chooseProgram(root, files)
    if (!existsSync(join(files.cluster, 'PG_VERSION'))) await createCluster({ binaries, account, files, logger })
    giveTo(files.cluster, account)
    const postgres = new Supervisor({ binaries, account, files, logger, lock, onFatal: deps.onFatal })
    await postgres.startPatiently()
    return postgres
  } catch (error) {
    lock.release()
    throw error
  }
}

/** Finds the embedded PostgreSQL that another process runs on the files in `dataDir`; undefined when nobody does. */
export function findRunningPostgres(dataDir: string): DatabaseOptions | undefined {
  if (!existsSync(dataDir)) return undefined
  const { cluster, sockets } = listFiles(realpathSync(dataDir))
  const postmaster = readPostmaster(cluster)
  return postmaster?.isReady === true && isProcessAlive(postmaster.pid) ? embeddedConnection(sockets) : undefined
}

/** How the embedded PostgreSQL is reached, by the folder of its socket. */
export function embeddedConnection(sockets: string): DatabaseOptions {
  return { host: sockets, user: DATABASE_USER, database: DATABASE_NAME }
}

interface Files {
  readonly home: string
  readonly cluster: string
  readonly sockets: string
  readonly log: string
}

interface Tools {
  readonly binaries: PostgresBinaries
  readonly account: PostgresAccount
  readonly files: Files
  readonly logger: Logger
}

function prepareDirectory(dataDir: string): string {
  try {
    // PostgreSQL may run as another user: the folder is for passing through, what is inside is closed.
    mkdirSync(dataDir, { recursive: true, mode: 0o711 })
    return realpathSync(dataDir)
  } catch (error) {
    throw new OperatorError(`The data directory ${dataDir} cannot be made or read: ${messageOf(error)}`, { cause: error })
  }
}

/** Waits a little for another process to end: after a restart, the old one may still be writing its last things. */
async function lockDirectory(root: string, logger: Logger): Promise<FileLock> {
  for (let waitedMs = 0; ; waitedMs += LOCK_POLL_MS) {
    try {
      return acquireFileLock(join(root, 'lock'))
    } catch (error) {
      if (isSystemError(error, 'EACCES') || isSystemError(error, 'EPERM') || isSystemError(error, 'EROFS')) {
        throw new OperatorError(`The data directory ${root} cannot be written by this user: ${messageOf(error)}`, {
          cause: error,
        })
      }
      if (!(error instanceof LockHeldError)) throw error
      if (error.holderPid === process.pid || waitedMs >= LOCK_WAIT_MS) {
        const what = `The database in ${root} is in use by process ${error.holderPid}. Stop that one first, or choose another data directory.`
        throw new OperatorError(what, { cause: error })
      }
      if (waitedMs === 0) logger.warn('another process uses the database; waiting for it to end', { pid: error.holderPid })
      await sleep(LOCK_POLL_MS)
    }
  }
}

function listFiles(root: string): Files {
  const home = join(root, 'postgres')
  const own = join(home, 'socket')
  const hash = createHash('sha256').update(root).digest('hex').slice(0, 12)
  const sockets = Buffer.byteLength(own) <= SOCKET_DIRECTORY_BYTES_MAX ? own : join(tmpdir(), `ganglion-${hash}`)
  return { home, cluster: join(home, 'cluster'), sockets, log: join(root, 'postgres.log') }
}

function chooseProgram(root: string, files: Files): { binaries: PostgresBinaries; account: PostgresAccount } {
  mkdirSync(files.home, { recursive: true, mode: 0o700 })
  const installed = findPostgresBinaries()
  const isLinked = createLibraryLinks(installed.home)
  for (const account of listAccounts(files.home)) {
    giveTo(files.home, account)
    if (!canWrite(account, files.home)) continue
    if (isLinked && canRun(account, installed.postgres)) return { binaries: installed, account }
    const copy = copyPostgresBinaries(installed, join(root, 'postgres-program'))
    if (canRun(account, copy.postgres)) return { binaries: copy, account }
  }
  throw new OperatorError(
    process.getuid?.() === 0
      ? `PostgreSQL does not run as root, and no other user can enter ${files.home}. Put the data directory where every user may pass ` +
          '(for example under /var/lib), or start the server as a plain user.'
      : `PostgreSQL cannot be run by this user on ${files.home}: the folder belongs to another user, or the program in ${installed.home} does not run here.`,
  )
}

async function createCluster({ binaries, account, files, logger }: Tools): Promise<void> {
  logger.info('creating the database cluster', { directory: files.cluster, account: account.description })
  const unfinished = `${files.cluster}.new`
  rmSync(unfinished, { recursive: true, force: true })
  const settings = Object.entries(computeClusterSettings()).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const args = [
    '-D',
    unfinished,
    '-U',
    DATABASE_USER,
    '--encoding=UTF8',
    '--locale=C',
    '--locale-provider=libc',
    '--auth-local=trust',
    '--auth-host=reject',
    '--no-instructions',
    ...settings,
  ]
  const log = openLog(files.log)
  try {
    const { command, args: wrapped, ...identity } = account.wrap(binaries.initdb, args)
    const child = spawn(command, wrapped, {
      ...identity,
      cwd: '/',
      env: POSTGRES_ENVIRONMENT,
      stdio: ['ignore', log, log],
      detached: true,
    })
    const status = await waitForExit(child)
    if (status !== 0)
      throw new OperatorError(`The database cluster could not be created; PostgreSQL said: ${readTail(files.log)}`)
  } finally {
    closeSync(log)
  }
  renameSync(unfinished, files.cluster)
}

/** Keeps one postmaster running. */
class Supervisor implements EmbeddedPostgres {
  readonly #tools: Tools
  readonly #lock: FileLock
  #child: ChildProcess | undefined
  #isStopping = false
  #restarts = 0
  #startedAtMs = 0
  readonly #onFatal: (() => void) | undefined

  constructor(deps: Tools & { lock: FileLock; onFatal: (() => void) | undefined }) {
    this.#tools = deps
    this.#onFatal = deps.onFatal
    this.#lock = deps.lock
  }

  get connection(): DatabaseOptions {
    return embeddedConnection(this.#tools.files.sockets)
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  /** Starts, also when sessions of a killed postmaster still hold the shared memory: they end by themselves within moments. */
  async startPatiently(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.start()
      } catch (error) {
        if (attempt === START_ATTEMPTS_MAX || !messageOf(error).includes('shared memory block')) throw error
        await sleep(RESTART_DELAY_MS)
      }
    }
  }

  async start(): Promise<void> {
    const { binaries, account, files, logger } = this.#tools
    prepareSockets(files, account)
    const args = [
      '-D',
      files.cluster,
      '-c',
      'listen_addresses=',
      '-c',
      `unix_socket_directories=${files.sockets}`,
      '-c',
      'unix_socket_permissions=0700',
    ]
    const { command, args: wrapped, ...identity } = account.wrap(binaries.postgres, args)
    const log = openLog(files.log)
    // Detached: Ctrl-C in a terminal reaches every process of the group, and PostgreSQL must end after us.
    const child = spawn(command, wrapped, {
      ...identity,
      cwd: '/',
      env: POSTGRES_ENVIRONMENT,
      stdio: ['ignore', log, log],
      detached: true,
    })
    closeSync(log)
    this.#child = child
    let hasEnded = false
    child.once('error', () => (hasEnded = true))
    child.once('exit', () => (hasEnded = true))
    const isReady = (): boolean => {
      const postmaster = readPostmaster(files.cluster)
      return postmaster?.pid === child.pid && postmaster?.isReady === true
    }
    const isUp = await waitUntil(() => hasEnded || isReady(), START_TIMEOUT_MS)
    if (hasEnded || !isUp) {
      if (!hasEnded && child.pid !== undefined) await stopProcess(child.pid)
      throw new OperatorError(`PostgreSQL did not start; it said: ${readTail(files.log)}`)
    }
    this.#startedAtMs = performance.now()
    child.once('exit', (status, signal) => this.#onExit(status ?? signal))
    logger.info('PostgreSQL is running', { pid: child.pid, account: account.description })
  }

  async stop(): Promise<void> {
    if (this.#isStopping) return
    this.#isStopping = true
    const pid = this.#child?.pid
    if (pid !== undefined && this.#child?.exitCode === null && this.#child.signalCode === null) await stopProcess(pid)
    this.#lock.release()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #onExit(reason: number | string | null): void {
    if (this.#isStopping) return
    const { logger } = this.#tools
    if (performance.now() - this.#startedAtMs > STABLE_MS) this.#restarts = 0
    this.#restarts += 1
    if (this.#restarts > RESTARTS_MAX) {
      logger.error('PostgreSQL ended again and again; it is not started any more', { reason, log: this.#tools.files.log })
      this.#onFatal?.()
      return
    }
    logger.error('PostgreSQL ended unexpectedly and is started anew', { reason, log: this.#tools.files.log })
    sleep(RESTART_DELAY_MS, undefined, { ref: false })
      .then(() => (this.#isStopping ? undefined : stopLeftover(this.#tools.files.cluster, logger)))
      .then(() => (this.#isStopping ? undefined : this.startPatiently()))
      .catch((error: unknown) => {
        logger.error('PostgreSQL could not be started anew', { error })
        this.#onExit('start failed')
      })
  }
}

/** The folder of the socket lets nobody in but PostgreSQL's user and root: whoever can connect is the database's owner. */
function prepareSockets(files: Files, account: PostgresAccount): void {
  mkdirSync(files.sockets, { recursive: true, mode: 0o700 })
  const stats = lstatSync(files.sockets)
  const uid = process.getuid?.() ?? stats.uid
  // In a shared folder for temporary files, somebody else could have been there first.
  if (!stats.isDirectory() || (stats.uid !== uid && stats.uid !== account.owner?.uid)) {
    throw new OperatorError(
      `${files.sockets} belongs to somebody else; remove it, or choose a data directory with a shorter path`,
    )
  }
  // What a killed postmaster left: it is gone, and PostgreSQL would take its process id at its word.
  for (const name of readdirSync(files.sockets)) rmSync(join(files.sockets, name), { recursive: true })
  chmodSync(files.sockets, 0o700)
  giveTo(files.sockets, account)
}

function openLog(path: string): number {
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > LOG_BYTES_MAX) renameSync(path, `${path}.1`)
  return openSync(path, 'a', 0o600)
}

function readTail(path: string): string {
  return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-8).join('\n')
}

function waitForExit(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (status) => resolve(status ?? -1))
  })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
