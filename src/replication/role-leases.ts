import type { Database } from '../storage/database.ts'
import { getLeases, getLeaseSummary, releaseLeases, renewLeases, takeLeases } from '../storage/tables/role-leases.ts'
import type { HeldEpoch, LeaseRow } from '../storage/tables/role-leases.ts'
import type { Clock } from '../util/clock.ts'
import type { Logger } from '../util/logger.ts'
import { Rerun } from '../util/rerun.ts'
import { Type } from '../util/schema.ts'
import { within } from '../util/within.ts'
import type { ControlChannel, Members } from './members.ts'
import { claimOrder, dueMs, isFree, LEASE_TIMES, makeSlots } from './role-turns.ts'
import type { LeaseTimes, RoleDefinition, RoleSlot } from './role-turns.ts'
import type { RpcCaller } from './rpc-client.ts'
import type { RpcServer } from './rpc-server.ts'
import { defineRpc, RpcRefusal } from './rpc.ts'
import { WorkingRole } from './working-role.ts'

/** Asks a holder to hand roles over to the caller, who is preferred. Answers which ones it gave. */
const roleRelease = defineRpc<{ roles: string[] }, { released: string[] }>({
  name: 'role.release',
  deadlineMs: 10_000,
  retry: 'none',
  isIdempotent: true,
  schema: Type.Object({ roles: Type.Array(Type.String({ maxLength: 255 }), { maxItems: 1000 }) }),
})

/**
 * Holds roles for this process and knows who holds the others (replication design, section 4). A lease is a row with an epoch,
 * renewed in time; a holder that cannot renew stops by its own clock before anybody else can start, and whatever it still
 * writes under its epoch is refused (`lane_claim`, `advanceCursor`).
 */
export class RoleLeases {
  readonly #database: Database
  readonly #members: Members
  readonly #clock: Clock
  readonly #transport: ControlChannel
  readonly #logger: Logger
  readonly #rpc: RpcCaller
  readonly #times: LeaseTimes
  readonly #slots = new Map<string, RoleSlot>()
  readonly #looking = new Rerun(() => this.#look())
  readonly #renewing = new Rerun(() => this.#renew())
  readonly #listeners: (() => void)[] = []
  /** How often this process took a role, for metrics. */
  takeovers = 0
  #view: ReadonlyMap<string, LeaseRow> = new Map()
  /** Boots whose lock was free at the last look: gone, or just connecting anew. */
  #suspects: ReadonlySet<string> = new Set()
  #startedMs = 0
  #pollTimer: NodeJS.Timeout | undefined
  #renewTimer: NodeJS.Timeout | undefined
  #expiryTimer: NodeJS.Timeout | undefined
  #isRunning = false

  constructor(deps: {
    database: Database
    members: Members
    clock: Clock
    transport: ControlChannel
    logger: Logger
    rpcClient: RpcCaller
    rpcServer: Pick<RpcServer, 'handle'>
    times?: Partial<LeaseTimes>
  }) {
    this.#database = deps.database
    this.#members = deps.members
    this.#clock = deps.clock
    this.#transport = deps.transport
    this.#logger = deps.logger
    this.#rpc = deps.rpcClient
    this.#times = { ...LEASE_TIMES, ...deps.times }
    deps.rpcServer.handle(roleRelease, async ({ roles }, { from }) => ({
      released: from === undefined ? [] : await this.#handOver(roles, from.instance),
    }))
    deps.members.onChange(() => this.#lookSoon())
    deps.transport.onControl((message) => {
      if (message.kind === 'role') this.#lookSoon()
    })
  }

  /** Makes a role known; before or after `start`. Every process that can do the work adds it, preferred or not. */
  add(definition: RoleDefinition): void {
    for (const slot of makeSlots(definition)) {
      if (this.#slots.has(slot.role)) throw new Error(`The role ${slot.role} is there already`)
      this.#slots.set(slot.role, slot)
    }
    this.#lookSoon()
  }

  /** Takes what is this process's to take. Settles after the first look; work may still be starting. The members must be started. */
  async start(): Promise<void> {
    this.#isRunning = true
    this.#startedMs = this.#clock.monotonicMs()
    this.#renewTimer = setTimeout(() => this.#renewSoon(), this.#times.renewMs)
    await this.#looking.run()
  }

  /** Stops all work and gives the leases back. */
  async stop(): Promise<void> {
    this.#isRunning = false
    clearTimeout(this.#pollTimer)
    clearTimeout(this.#renewTimer)
    await this.#looking.run()
    clearTimeout(this.#pollTimer)
    await this.#end(
      [...this.#slots.values()].flatMap((slot) => slot.working ?? []),
      true,
    )
    clearTimeout(this.#expiryTimer)
    clearTimeout(this.#renewTimer)
  }

  /** The living instance that holds a role, as far as this process knows. */
  holderOf(role: string): string | undefined {
    if (this.epochHeld(role) !== undefined) return this.#members.self.instance
    const row = this.#view.get(role)
    if (!row || row.isExpired || row.boot === this.#members.self.boot) return undefined
    return this.#members.isLive(row.holder) ? row.holder : undefined
  }

  /** The roles that this process knows of, by name, with their holders. */
  list(): { readonly role: string; readonly holder: string | undefined; readonly epoch: number | undefined }[] {
    return [...new Set([...this.#slots.keys(), ...this.#view.keys()])]
      .toSorted()
      .map((role) => ({ role, holder: this.holderOf(role), epoch: this.epochOf(role) }))
  }

  /** The newest epoch of a role that this process knows of. */
  epochOf(role: string): number | undefined {
    return this.epochHeld(role) ?? this.#view.get(role)?.epoch
  }

  /** The epoch in which this process holds a role now; undefined when it does not. */
  epochHeld(role: string): number | undefined {
    const working = this.#slots.get(role)?.working
    return working?.isActive === true && this.#clock.monotonicMs() < working.stopAtMs ? working.epoch : undefined
  }

  /** The epoch in which this process holds a role. Throws RpcRefusal `not_owner`, naming the holder, when it does not. */
  assertHeld(role: string): number {
    const epoch = this.epochHeld(role)
    if (epoch === undefined) throw new RpcRefusal('not_owner', { owner: this.holderOf(role) })
    return epoch
  }

  /** `listener` is called after holders changed. It must neither wait nor throw. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  #working(): WorkingRole[] {
    return [...this.#slots.values()].flatMap((slot) => (slot.working?.isActive === true ? [slot.working] : []))
  }

  #lookSoon(): void {
    if (!this.#isRunning) return
    this.#looking.run().catch((error: unknown) => this.#logger.debug('The roles could not be looked at', { error }))
  }

  async #look(): Promise<void> {
    clearTimeout(this.#pollTimer)
    let delayMs = this.#times.pollMs
    try {
      if (!this.#isRunning) return
      await this.#readView()
      if (this.#members.isDraining) await this.#end(this.#working(), true)
      else delayMs = await this.#takeFree()
      this.#askForOurs()
    } finally {
      clearTimeout(this.#pollTimer)
      if (this.#isRunning) this.#pollTimer = setTimeout(() => this.#lookSoon(), delayMs)
    }
  }

  /** Whether the view is true still: everything was held when it was read, and nothing has been taken or become free since. */
  async #isUnchanged(): Promise<boolean> {
    const rows = [...this.#view.values()]
    if (rows.length === 0 || rows.some((row) => row.isExpired || row.isHolderGone)) return false
    const summary = await within(getLeaseSummary(this.#database), this.#times.ttlMs, 'Looking at the leases')
    const epochs = rows.reduce((sum, row) => sum + row.epoch, 0)
    return summary !== undefined && !summary.hasFree && summary.count === rows.length && summary.epochs === epochs
  }

  async #readView(): Promise<void> {
    if (await this.#isUnchanged()) return
    const rows = await within(getLeases(this.#database), this.#times.ttlMs, 'Reading the leases')
    const before = this.#view
    this.#view = new Map(rows.map((row) => [row.role, row]))
    const isGone = (row: LeaseRow): boolean => row.isHolderGone && !row.isExpired && row.boot !== this.#members.self.boot
    const suspects = new Set(rows.filter(isGone).map((row) => row.boot))
    // A lock that is free once may belong to a process whose connection broke, and that is taking it again.
    const dead = new Set(rows.filter((row) => suspects.has(row.boot) && this.#suspects.has(row.boot)).map((row) => row.holder))
    for (const instance of dead) if (this.#members.isLive(instance)) await this.#members.suspect(instance)
    this.#suspects = suspects
    if (rows.some((row) => isOther(before.get(row.role), row))) for (const listener of this.#listeners) listener()
  }

  /** Takes the free roles that are this process's turn. Returns when to look again. */
  async #takeFree(): Promise<number> {
    const nowMs = this.#clock.monotonicMs()
    let delayMs = this.#times.pollMs
    const wanted: RoleSlot[] = []
    const turn = { self: this.#members.self.instance, live: this.#members.live(), startedMs: this.#startedMs }
    for (const slot of this.#slots.values()) {
      if (slot.working !== undefined) continue
      slot.freeSinceMs = isFree(this.#view.get(slot.role), this.#members) ? (slot.freeSinceMs ?? nowMs) : undefined
      if (slot.freeSinceMs === undefined) continue
      const slotDueMs = dueMs(slot, this.#times, turn)
      if (slotDueMs <= nowMs) wanted.push(slot)
      else delayMs = Math.min(delayMs, slotDueMs - nowMs)
    }
    if (wanted.length > 0) await this.#take(wanted)
    return delayMs
  }

  async #take(slots: readonly RoleSlot[]): Promise<void> {
    const askedMs = this.#clock.monotonicMs()
    const roles = slots.map((slot) => slot.role)
    const taken = await takeLeases(this.#database, this.#members.self, roles, this.#times.ttlMs)
    for (const { role, epoch } of taken) {
      const slot = this.#slots.get(role)
      if (slot) this.#begin(slot, epoch, askedMs)
    }
    if (taken.length === 0) return
    this.takeovers += taken.length
    this.#logger.info('This process has taken roles', { roles: taken.map(({ role, epoch }) => `${role} (epoch ${epoch})`) })
    this.#armExpiry()
    this.#tellOthers(taken)
  }

  #begin(slot: RoleSlot, epoch: number, askedMs: number): void {
    slot.freeSinceMs = undefined
    const working = new WorkingRole({
      lease: { role: slot.role, shard: slot.shard, epoch },
      definition: slot.definition,
      stopAtMs: askedMs + this.#times.ttlMs - this.#times.marginMs,
      onEnded: () => {
        if (slot.working === working) slot.working = undefined
        this.#lookSoon()
      },
      onFailed: (error) => {
        this.#logger.error(`The work of the role ${slot.role} failed`, { error })
        slot.notBeforeMs = this.#clock.monotonicMs() + this.#times.retryMs
        void this.#end([working], true)
      },
    })
    slot.working = working
    working.begin()
  }

  /** Stops work; with `release`, its leases go to whoever is next as soon as it has stopped. */
  async #end(ending: readonly WorkingRole[], release: boolean): Promise<void> {
    if (ending.length === 0) return
    const stopped: HeldEpoch[] = []
    await Promise.all(
      ending.map(async (working) => {
        try {
          await within(working.end(), this.#times.stopMs, `Stopping ${working.role}`)
          stopped.push(working)
        } catch (error) {
          this.#logger.warn(`The work of the role ${working.role} does not stop; its lease runs out`, { error })
        }
      }),
    )
    if (!release || stopped.length === 0) return
    try {
      await within(releaseLeases(this.#database, this.#members.self, stopped), this.#times.ttlMs, 'Giving leases back')
      this.#tellOthers(stopped)
    } catch (error) {
      this.#logger.warn('Leases could not be given back; they run out', { error })
    }
  }

  #tellOthers(roles: readonly HeldEpoch[]): void {
    this.#transport.publishControl({ kind: 'role', roles: roles.map(({ role }) => role) })
    for (const listener of this.#listeners) listener()
    this.#lookSoon()
  }

  /** Asks stand-ins for the roles that this process is preferred for. */
  #askForOurs(): void {
    if (this.#members.isDraining) return
    const nowMs = this.#clock.monotonicMs()
    const self = this.#members.self.instance
    const wanted = new Map<string, string[]>()
    for (const slot of this.#slots.values()) {
      const row = this.#view.get(slot.role)
      if (slot.working || slot.notBeforeMs > nowMs || slot.askAgainMs > nowMs || !row || isFree(row, this.#members)) continue
      if (
        !slot.definition.preferred.includes(self) ||
        claimOrder(slot, this.#members.live())[0] !== self ||
        !this.#members.isLive(row.holder)
      )
        continue
      slot.askAgainMs = nowMs + this.#times.retryMs
      wanted.set(row.holder, [...(wanted.get(row.holder) ?? []), slot.role])
    }
    for (const [holder, roles] of wanted) void this.#ask(holder, roles)
  }

  async #ask(holder: string, roles: string[]): Promise<void> {
    try {
      await this.#rpc.call(roleRelease, holder, { roles })
    } catch (error) {
      this.#logger.info(`${holder} did not hand over its roles; they are asked for again`, { roles, error })
    }
    this.#lookSoon()
  }

  /** Gives roles to a process that has the better claim. */
  async #handOver(roles: readonly string[], to: string): Promise<string[]> {
    // It may have come this very moment.
    if (!this.#members.isLive(to)) await this.#members.refresh()
    const given = roles.flatMap((role) => {
      const slot = this.#slots.get(role)
      const order = slot ? claimOrder(slot, this.#members.live()) : []
      const isBetter = order.includes(to) && !order.slice(0, order.indexOf(to)).includes(this.#members.self.instance)
      return slot?.working?.isActive === true && isBetter ? [slot.working] : []
    })
    await this.#end(given, true)
    return given.map((working) => working.role)
  }

  #renewSoon(): void {
    this.#renewing.run().catch((error: unknown) => this.#logger.warn('The leases could not be renewed', { error }))
  }

  async #renew(): Promise<void> {
    clearTimeout(this.#renewTimer)
    let delayMs = Math.min(this.#times.renewMs, this.#times.pollMs)
    try {
      const held = this.#working()
      if (held.length > 0) await this.#renewHeld(held)
      delayMs = this.#times.renewMs
    } finally {
      if (this.#isRunning) this.#renewTimer = setTimeout(() => this.#renewSoon(), delayMs)
    }
  }

  async #renewHeld(held: readonly WorkingRole[]): Promise<void> {
    const askedMs = this.#clock.monotonicMs()
    const query = renewLeases(this.#database, this.#members.self, held, this.#times.ttlMs)
    const renewed = new Set(await within(query, this.#times.renewMs, 'Renewing leases'))
    for (const working of held)
      if (renewed.has(working.role)) working.stopAtMs = askedMs + this.#times.ttlMs - this.#times.marginMs
    const lost = held.filter((working) => !renewed.has(working.role) && working.isActive)
    if (lost.length > 0) {
      this.#logger.warn('Other processes have taken roles of this one', { roles: lost.map(({ role }) => role) })
      void this.#end(lost, false)
    }
    this.#armExpiry()
  }

  #armExpiry(): void {
    clearTimeout(this.#expiryTimer)
    const working = this.#working()
    if (working.length === 0) return
    const dueMs = Math.min(...working.map((one) => one.stopAtMs))
    this.#expiryTimer = setTimeout(() => this.#stopExpired(), Math.max(0, dueMs - this.#clock.monotonicMs()))
  }

  #stopExpired(): void {
    const nowMs = this.#clock.monotonicMs()
    const expired = this.#working().filter((working) => working.stopAtMs <= nowMs)
    if (expired.length > 0) {
      this.#logger.warn('Leases could not be renewed in time; their work stops', { roles: expired.map(({ role }) => role) })
      void this.#end(expired, true)
      for (const listener of this.#listeners) listener()
    }
    this.#armExpiry()
  }
}

function isOther(before: LeaseRow | undefined, now: LeaseRow): boolean {
  return before?.epoch !== now.epoch || before.holder !== now.holder || before.isExpired !== now.isExpired
}
