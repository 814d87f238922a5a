import type { Database, DatabaseOptions } from '../storage/database.ts'
import {
  deleteMember,
  getMembers,
  markMemberDead,
  prolongMember,
  registerMember,
  setMemberDraining,
} from '../storage/tables/members.ts'
import type { MemberRecord, MemberRow } from '../storage/tables/members.ts'
import type { Clock } from '../util/clock.ts'
import type { Logger } from '../util/logger.ts'
import { OperatorError } from '../util/operator-error.ts'
import { Rerun } from '../util/rerun.ts'
import { within } from '../util/within.ts'
import { LivenessLock } from './liveness-lock.ts'
import type { Transport } from './transport.ts'

/** What a process tells the others of itself. `boot` is a UUID drawn at its start. */
export type MemberSelf = MemberRecord

/** A process of this server. */
export type Member = MemberRecord & { readonly isDraining: boolean }

/** The part of the transport that carries announcements. They are hints: each may be lost. */
export type ControlChannel = Pick<Transport, 'publishControl' | 'onControl'>

/** How often and how long. Tests bring shorter ones. */
export interface MemberTimes {
  readonly heartbeatMs: number
  /** Without a heartbeat for so long, a member is dead. */
  readonly ttlMs: number
  readonly pollMs: number
  /** How long a start waits for a process of its name to be gone: PostgreSQL may need a moment to notice. */
  readonly rivalWaitMs: number
  /** How often the connection of the liveness lock is tried. */
  readonly lockCheckMs: number
}

const TIMES: MemberTimes = { heartbeatMs: 3000, ttlMs: 10_000, pollMs: 5000, rivalWaitMs: 2000, lockCheckMs: 5000 }
const RIVAL_CHECK_MS = 100
const HEARTBEAT_RETRY_MS = 500
/** A database that does not answer must not hold up the end of the process. */
const STOP_MS = 2000
/** What another member's expiry is looked up after, so that the database agrees that it has passed. */
const EXPIRY_SLACK_MS = 50

/**
 * Knows the processes of this server that live (replication design, section 3): a table with heartbeats, judged by the database's
 * clock only, announcements to be quick, and a liveness lock that tells at once when a process has died.
 */
export class Members {
  readonly self: MemberSelf
  readonly #database: Database
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #transport: ControlChannel
  readonly #times: MemberTimes
  readonly #lock: LivenessLock
  readonly #reading = new Rerun(() => this.#read())
  readonly #listeners: (() => void)[] = []
  readonly #suspicions = new Map<string, Promise<boolean>>()
  #known: ReadonlyMap<string, Member> = new Map()
  #live: readonly Member[] = []
  #seen = ''
  #onReplaced: (() => void) | undefined
  #beatTimer: NodeJS.Timeout | undefined
  #pollTimer: NodeJS.Timeout | undefined
  #beatFailures = 0
  #confirmedMs = -Infinity
  #isDraining = false
  #isRunning = false

  /** `connection` is a direct one to PostgreSQL, for the liveness lock. */
  constructor(deps: {
    database: Database
    connection: DatabaseOptions
    clock: Clock
    logger: Logger
    self: MemberSelf
    transport: ControlChannel
    times?: Partial<MemberTimes>
  }) {
    this.self = deps.self
    this.#database = deps.database
    this.#clock = deps.clock
    this.#logger = deps.logger
    this.#transport = deps.transport
    this.#times = { ...TIMES, ...deps.times }
    this.#lock = new LivenessLock({
      connection: deps.connection,
      self: deps.self,
      logger: deps.logger,
      checkMs: this.#times.lockCheckMs,
    })
    deps.transport.onControl((message) => {
      if (message.kind === 'member' && message['instance'] !== this.self.instance) this.#readSoon()
    })
  }

  /** Joins. Throws OperatorError when another process with this name lives. */
  async start(): Promise<void> {
    await this.#lock.acquire()
    try {
      await this.#join()
    } catch (error) {
      await this.#lock.release()
      throw error
    }
    this.#isRunning = true
    await this.refresh()
    this.#warnOfDifferences()
    this.#beatTimer = setTimeout(() => void this.#beat(), this.#times.heartbeatMs)
    this.#announce()
  }

  async #join(): Promise<void> {
    const giveUpMs = this.#clock.monotonicMs() + this.#times.rivalWaitMs
    for (;;) {
      const startedAt = await this.#register()
      if (startedAt === undefined) return
      if (this.#clock.monotonicMs() >= giveUpMs)
        throw new OperatorError(
          `Another process named ${this.self.instance} is running, since ${startedAt.toISOString()}: ` +
            'stop that one first, or give each worker a `worker_name` of its own.',
        )
      await new Promise((resolve) => setTimeout(resolve, RIVAL_CHECK_MS))
    }
  }

  async #register(): Promise<Date | undefined> {
    const startedMs = this.#clock.monotonicMs()
    const rival = await this.#database.transaction('register member', (tx) => registerMember(tx, this.self, this.#times.ttlMs))
    if (rival === undefined) this.#confirmedMs = startedMs
    return rival
  }

  /** Leaves: the others see it at once. */
  async stop(): Promise<void> {
    if (!this.#isRunning) return
    this.#isRunning = false
    clearTimeout(this.#beatTimer)
    clearTimeout(this.#pollTimer)
    await within(deleteMember(this.#database, this.self), STOP_MS, 'Leaving').catch((error: unknown) =>
      this.#logger.warn('The row of this process could not be removed; others see that it is gone by its lock', { error }),
    )
    await within(this.#lock.release(), STOP_MS, 'Releasing the liveness lock').catch((error: unknown) =>
      this.#logger.debug('The liveness lock ends with the process', { error }),
    )
    this.#announce()
  }

  /** Members that live, sorted by name, those that are draining included. The same array until something changes. */
  live(): readonly Member[] {
    return this.#live
  }

  /** A member by its name, whether it lives or not. */
  get(instance: string): Member | undefined {
    return this.#known.get(instance)
  }

  isLive(instance: string): boolean {
    return this.#live.some((member) => member.instance === instance)
  }

  /** Whether the others count this process as living, as far as it can know: false when it cannot reach the database for the TTL. */
  get isJoined(): boolean {
    return this.#isRunning && this.#clock.monotonicMs() - this.#confirmedMs < this.#times.ttlMs
  }

  get isDraining(): boolean {
    return this.#isDraining
  }

  /** Asks for no new work: others give no rooms and roles to this process. */
  async drain(): Promise<void> {
    this.#isDraining = true
    await setMemberDraining(this.#database, this.self)
    await this.refresh()
    this.#announce()
  }

  /** `listener` is called after members came, went, moved or began to drain. It must neither wait nor throw. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** `listener` is called when another process has taken this one's name: this one was thought dead, and has to end. */
  onReplaced(listener: () => void): void {
    this.#onReplaced = listener
  }

  /** Reads the table anew. Settles when what was committed before the call is known. */
  refresh(): Promise<void> {
    return this.#reading.run()
  }

  /**
   * Looks whether a member that does not answer has died, and if so marks it dead and tells the others. Call it upon a refused or
   * broken connection. True when it is dead; false as well when the database cannot tell.
   */
  suspect(instance: string): Promise<boolean> {
    const pending = this.#suspicions.get(instance)
    if (pending) return pending
    const suspicion = this.#probe(instance)
      .catch((error: unknown) => {
        this.#logger.warn(`Whether ${instance} lives could not be found out`, { error })
        return false
      })
      .finally(() => this.#suspicions.delete(instance))
    this.#suspicions.set(instance, suspicion)
    return suspicion
  }

  async #probe(instance: string): Promise<boolean> {
    const member = this.#known.get(instance)
    if (instance === this.self.instance) return false
    const isMarked = member !== undefined && (await markMemberDead(this.#database, member))
    // Not marked: it may have been replaced meanwhile, or have left.
    await this.refresh()
    if (isMarked) {
      this.#logger.warn(`The process ${instance} has died`, { instance })
      this.#transport.publishControl({ kind: 'member', instance })
    }
    return !this.isLive(instance)
  }

  #announce(): void {
    this.#transport.publishControl({ kind: 'member', instance: this.self.instance })
  }

  async #beat(): Promise<void> {
    const startedMs = this.#clock.monotonicMs()
    try {
      if (await within(prolongMember(this.#database, this.self, this.#times.ttlMs), this.#times.ttlMs, 'A heartbeat'))
        this.#confirmedMs = startedMs
      else if (this.#isRunning) await this.#rejoin()
      this.#beatFailures = 0
    } catch (error) {
      if (this.#beatFailures++ === 0) this.#logger.warn('A heartbeat could not be written', { error })
    }
    if (!this.#isRunning) return
    const delayMs = this.#beatFailures === 0 ? this.#times.heartbeatMs : Math.min(HEARTBEAT_RETRY_MS, this.#times.heartbeatMs)
    this.#beatTimer = setTimeout(() => void this.#beat(), delayMs)
  }

  /** The row is gone, or is another boot's. */
  async #rejoin(): Promise<void> {
    const rival = await this.#register()
    if (rival === undefined) {
      if (this.#isDraining) await setMemberDraining(this.#database, this.self)
      this.#announce()
      return
    }
    this.#confirmedMs = -Infinity
    this.#logger.error(`Another process has taken the name ${this.self.instance}, since ${rival.toISOString()}`)
    this.#onReplaced?.()
  }

  #readSoon(): void {
    if (!this.#isRunning) return
    this.refresh().catch((error: unknown) => this.#logger.debug('The members could not be read', { error }))
  }

  async #read(): Promise<void> {
    clearTimeout(this.#pollTimer)
    let delayMs = this.#times.pollMs
    try {
      const rows = await within(getMembers(this.#database), this.#times.ttlMs, 'Reading the members')
      this.#apply(rows)
      // The death of a member that is only silent is seen when it is due, not at the next poll.
      for (const { instance, leftMs } of rows)
        if (leftMs > 0 && instance !== this.self.instance) delayMs = Math.min(delayMs, leftMs + EXPIRY_SLACK_MS)
    } finally {
      clearTimeout(this.#pollTimer)
      if (this.#isRunning) this.#pollTimer = setTimeout(() => this.#readSoon(), delayMs)
    }
  }

  #apply(rows: readonly MemberRow[]): void {
    const seen = JSON.stringify(rows.map((row) => [row.instance, row.boot, row.url, row.roles, row.isDraining, row.leftMs > 0]))
    if (seen === this.#seen) return
    this.#seen = seen
    const members = rows.map(({ leftMs, url, ...row }) => ({ isLive: leftMs > 0, member: { ...row, url: url ?? undefined } }))
    this.#known = new Map(members.map(({ member }) => [member.instance, member]))
    this.#live = members.flatMap(({ isLive, member }) => (isLive ? [member] : []))
    for (const listener of this.#listeners) listener()
  }

  #warnOfDifferences(): void {
    const others = this.#live.filter((member) => member.configHash !== this.self.configHash)
    if (others.length > 0)
      this.#logger.warn(`The configuration differs from that of ${others.map((member) => member.instance).join(', ')}`)
  }
}
