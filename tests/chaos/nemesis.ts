import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { SpawnedCluster } from '../kit/spawned-cluster.ts'
import type { Recorder, Result } from './history.ts'
import type { PlannedFault } from './plan.ts'
import type { RedisProxy } from './redis-proxy.ts'

const FRAME_FAULTS = { dropped: 0.2, doubled: 0.2, late: 0.3, lateMsMax: 3000 }
/** Generous: on a busy machine a start takes long. */
const TWIN_MS = 45_000
const REDIS_DOWN_MS = 1500

/** Does to a cluster what is planned, and records it. */
export class Nemesis {
  readonly #cluster: SpawnedCluster
  readonly #recorder: Recorder
  readonly #redisProxy: RedisProxy
  readonly #report: (line: string) => void
  /** Faults that did not go as they should: a twin that ran, a process that did not come back. */
  readonly failures: string[] = []

  constructor(deps: { cluster: SpawnedCluster; recorder: Recorder; redisProxy: RedisProxy; report: (line: string) => void }) {
    this.#cluster = deps.cluster
    this.#recorder = deps.recorder
    this.#redisProxy = deps.redisProxy
    this.#report = deps.report
  }

  /** Runs the plan, one fault after the other; late ones are not skipped. */
  async run(plan: readonly PlannedFault[]): Promise<void> {
    const startedMs = performance.now()
    for (const fault of plan) {
      await sleep(Math.max(0, startedMs + fault.atMs - performance.now()))
      const t = this.#recorder.now()
      let result: Result = 'ok'
      let detail = ''
      try {
        detail = (await this.#do(fault)) ?? ''
      } catch (error) {
        result = 'fail'
        detail = error instanceof Error ? error.message : String(error)
        this.failures.push(`${fault.kind} ${fault.target}: ${detail}`)
      }
      const end = this.#recorder.now()
      this.#report(`${(t / 1000).toFixed(1)} s: ${fault.kind} ${fault.target} (${((end - t) / 1000).toFixed(1)} s) ${detail}`)
      this.#recorder.add({ op: 'fault', t, end, process: fault.target, key: fault.kind, result, detail })
    }
  }

  async #do({ kind, target, durationMs }: PlannedFault): Promise<string | void> {
    const cluster = this.#cluster
    switch (kind) {
      case 'kill_persister':
      case 'kill_process':
        return this.#killProcess(target)
      case 'kill_redis':
        await cluster.redis.kill()
        await sleep(REDIS_DOWN_MS)
        return cluster.redis.restart()
      case 'kill_postgres':
        return cluster.restartPostgres('kill')
      case 'stop_postgres_immediate':
        return cluster.restartPostgres('immediate')
      case 'end_database_sessions':
        return this.#endDatabaseSessions()
      case 'pause_persister':
      case 'pause_sync':
      case 'pause_role_holder':
        return this.#pause(target, durationMs)
      case 'mistreat_frames':
        return this.#mistreatFrames(durationMs)
      case 'twin':
        return this.#startTwin(target)
      case 'rolling_restart':
        return cluster.restartRolling()
      case 'scale_persisters': {
        const all = ['persister1', 'persister2', 'persister3']
        await cluster.setPersisters(all)
        return cluster.setPersisters(all.slice(0, 2))
      }
    }
  }

  async #killProcess(name: string): Promise<void> {
    const pid = this.#cluster.pidOf(name)
    this.#cluster.kill(name)
    await this.#cluster.untilRunning(name, pid)
  }

  async #pause(name: string, durationMs: number): Promise<void> {
    const pid = this.#cluster.pidOf(name)
    this.#cluster.pause(name)
    try {
      await sleep(durationMs)
    } finally {
      if (this.#cluster.pidOf(name) === pid) this.#cluster.resume(name)
    }
  }

  async #mistreatFrames(durationMs: number): Promise<string> {
    const before = this.#redisProxy.mistreated
    this.#redisProxy.setFaults(FRAME_FAULTS)
    await sleep(durationMs)
    this.#redisProxy.setFaults(undefined)
    return `${this.#redisProxy.mistreated - before} messages`
  }

  async #endDatabaseSessions(): Promise<string> {
    const { max: _max, ...connection } = this.#cluster.databaseOptions
    const client = new pg.Client(connection)
    await client.connect()
    const { rowCount } = await client.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`,
    )
    await client.end()
    return `${rowCount} sessions`
  }

  /** A second process of one name must refuse to run, and leave the first one alone. */
  async #startTwin(name: string): Promise<string> {
    const pid = this.#cluster.pidOf(name)
    const twin = await this.#cluster.startTwin(name, TWIN_MS)
    if (twin.status === undefined) throw new Error(`the second process runs: ${twin.output}`)
    if (twin.status === 0) throw new Error(`the second process ended without an error: ${twin.output}`)
    if (this.#cluster.pidOf(name) !== pid) throw new Error('the first process ended')
    return twin.output.trim().split('\n').at(-1) ?? ''
  }
}
