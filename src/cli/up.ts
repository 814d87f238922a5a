import { rmSync } from 'node:fs'
import type { Server } from 'node:net'
import { loadOrCreateSigningKeys } from '../config/signing-keys.ts'
import { startEmbeddedPostgres } from '../process/embedded-postgres.ts'
import type { EmbeddedPostgres } from '../process/embedded-postgres.ts'
import { ServiceManager } from '../process/service-manager.ts'
import { Supervisor } from '../process/supervisor.ts'
import { systemClock } from '../util/clock.ts'
import { buildChildEnvironment } from '../util/environment.ts'
import { acquireFileLock, LockHeldError } from '../util/lock-file.ts'
import type { FileLock } from '../util/lock-file.ts'
import { createLogger } from '../util/logger.ts'
import type { Logger } from '../util/logger.ts'
import { OperatorError } from '../util/operator-error.ts'
import { systemRandom } from '../util/random.ts'
import { CliError, EXIT } from './cli-error.ts'
import { print } from './command.ts'
import type { Command } from './command.ts'
import { openControlSocket } from './control-socket.ts'
import type { ControlAnswer, ControlRequest } from './control-socket.ts'
import { EMBEDDED_SOCKET_VARIABLE, embeddedDirectoryOf } from './embedded-database.ts'
import { parseFlags } from './flags.ts'
import { readInstallation } from './installation.ts'
import type { Installation } from './installation.ts'

const FLAGS = {
  'config-path': {
    type: 'string',
    short: 'c',
    multiple: true,
    value: 'SHARED',
    doc: 'The shared configuration file; ./homeserver.yaml by default.',
  },
  'all-processes': { type: 'string', short: 'a', value: 'DIR', doc: 'Runs the workers whose files stand in this folder, too.' },
  worker: { type: 'string', short: 'w', multiple: true, value: 'FILE', doc: 'Runs only this worker; may be given again.' },
} as const
const STOP_SIGNALS = ['SIGINT', 'SIGTERM'] as const
const STOP_TIMEOUT_MS = 9_700

/** Runs the main process and its workers together in the foreground. */
export const upCommand: Command = {
  name: 'up',
  summary: 'Runs the main process and all workers in the foreground, with one log.',
  usage: '-c SHARED [-a DIR]',
  flags: FLAGS,
  async run(args) {
    const { flags } = parseFlags(args, FLAGS)
    const installation = readInstallation({
      shared: flags['config-path'] ?? [],
      workersDirectory: flags['all-processes'],
      workers: flags.worker ?? [],
    })
    return runTogether(installation)
  },
}

/** Runs the processes of an installation until a signal, or `ctl stop`, ends them. Returns the status to end with. */
export async function runTogether(installation: Installation): Promise<number> {
  const lock = takeLock(installation.lockPath)
  const logger = createLogger()
  const stop = Promise.withResolvers<number>()
  for (const signal of STOP_SIGNALS) {
    process.on(signal, () => {
      stop.resolve(EXIT.ok)
      // Whatever hangs: an admin who asked for the end gets it.
      setTimeout(() => process.exit(EXIT.ok), STOP_TIMEOUT_MS).unref()
    })
  }
  // The launcher on an older Node died: nobody would stop us.
  process.on('disconnect', () => stop.resolve(EXIT.ok))
  try {
    return await new Together(installation, { logger, stop }).run()
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error
    throw new CliError(error.message, { status: EXIT.failed, cause: error })
  } finally {
    lock.release()
    logger.close()
  }
}

function takeLock(path: string): FileLock {
  try {
    return acquireFileLock(path)
  } catch (error) {
    if (error instanceof LockHeldError) {
      throw new CliError(`process ${error.holderPid} runs these processes already; \`ganglion ctl status\` shows them`, {
        status: EXIT.failed,
        cause: error,
      })
    }
    const what = error instanceof Error ? error.message : String(error)
    throw new CliError(`cannot write beside the configuration: ${what}`, { status: EXIT.failed, cause: error })
  }
}

interface Surroundings {
  readonly logger: Logger
  readonly stop: PromiseWithResolvers<number>
}

/** One run of the supervisor with what it needs: the embedded database, the control socket, the log. */
class Together {
  readonly #installation: Installation
  readonly #logger: Logger
  readonly #stop: PromiseWithResolvers<number>
  readonly #nameWidth: number
  #supervisor: Supervisor | undefined
  #postgres: EmbeddedPostgres | undefined
  /** Settles when all processes are ready, or have given up. */
  readonly #started = Promise.withResolvers<void>()

  constructor(installation: Installation, { logger, stop }: Surroundings) {
    this.#installation = installation
    this.#logger = logger
    this.#stop = stop
    this.#nameWidth = Math.max(...installation.processes.map(({ name }) => name.length))
  }

  async run(): Promise<number> {
    const { main, processes, socketPath } = this.#installation
    const manager = new ServiceManager(this.#logger)
    let control: Server | undefined
    const reopen = (): void => this.#supervisor?.signal('SIGHUP')
    process.on('SIGHUP', reopen)
    try {
      control = await openControlSocket(socketPath, (request) => this.#answer(request))
      loadOrCreateSigningKeys(main, systemRandom)
      if (main.database.name === 'embedded') {
        this.#postgres = await startEmbeddedPostgres({
          dataDir: embeddedDirectoryOf(main),
          logger: this.#logger,
          onFatal: () => this.#stop.resolve(EXIT.failed),
        })
      }
      this.#supervisor = this.#makeSupervisor()
      this.#supervisor
        .start(processes)
        .then(() => this.#announce(manager))
        .catch((error: unknown) => this.#logger.error('the processes could not be started', { error }))
        .finally(() => this.#started.resolve())
      return await this.#stop.promise
    } finally {
      process.off('SIGHUP', reopen)
      manager.stopping()
      this.#started.resolve()
      await this.#supervisor?.stop()
      await this.#postgres?.stop()
      control?.close()
      rmSync(socketPath, { force: true })
    }
  }

  #makeSupervisor(): Supervisor {
    const env = buildChildEnvironment({
      [EMBEDDED_SOCKET_VARIABLE]: this.#postgres?.connection.host,
      // The processes are ours, not the service manager's.
      NOTIFY_SOCKET: undefined,
      WATCHDOG_USEC: undefined,
      SYNAPSE_WORKER: undefined,
    })
    return new Supervisor({
      clock: systemClock,
      env,
      write: (name, line) => print(`${name.padEnd(this.#nameWidth)} | ${line}`),
    })
  }

  #announce(manager: ServiceManager): void {
    const { status = [] } = this.#supervisor ?? {}
    if (status.every(({ state }) => state === 'failed')) return this.#stop.resolve(EXIT.config)
    const addresses = status.flatMap((process) => process.addresses)
    manager.ready(addresses)
    const [first] = addresses
    if (first !== undefined) print(`listening on ${first.replace(/\/$/, '')}`)
  }

  async #answer(request: ControlRequest): Promise<ControlAnswer> {
    const supervisor = this.#supervisor
    switch (request.action) {
      case 'status':
        return { processes: supervisor?.status ?? [] }
      case 'start':
        await this.#started.promise
        await supervisor?.start(request.specs)
        return { processes: this.#supervisor?.status ?? [] }
      case 'restart': {
        const missing = await supervisor?.restart(request.names)
        const processes = supervisor?.status ?? []
        return missing === undefined
          ? { processes }
          : { processes, problem: `${missing} did not come back; the processes after it were left as they are` }
      }
      case 'stop': {
        await supervisor?.stop(request.names)
        const processes = supervisor?.status ?? []
        if (processes.every(({ state }) => state === 'stopped' || state === 'failed')) this.#stop.resolve(EXIT.ok)
        return { processes }
      }
    }
  }
}
