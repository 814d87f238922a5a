import type { LeaseRow } from '../storage/tables/role-leases.ts'
import type { Member, Members } from './members.ts'
import { rendezvousOrder } from './rendezvous.ts'
import type { RoleLease, WorkingRole } from './working-role.ts'

/** Work that one process does for all (replication design, section 4). */
export interface RoleDefinition {
  readonly name: string
  /** Instance names from the configuration. With none of them alive, any other process that knows the role stands in. */
  readonly preferred: readonly string[]
  /** With shards, the roles are `name:0` … `name:n-1`, each held for itself. */
  readonly shards?: number
  /** Begins the work. What it begins must end soon after `lease.signal` is aborted. */
  start(lease: RoleLease): Promise<void>
  /** Ends the work of a shard (0 without shards); settles when nothing of it runs any more. */
  stop(shard: number): Promise<void>
}

/** How long and how often. Tests bring shorter ones. */
export interface LeaseTimes {
  readonly ttlMs: number
  readonly renewMs: number
  /** Work stops so long before the lease ends, when it could not be renewed. */
  readonly marginMs: number
  readonly pollMs: number
  /** Each next in line waits so much longer before it takes what is free. */
  readonly stepMs: number
  /** After its start a process stands in for nobody: the preferred one may be starting as well. */
  readonly startGraceMs: number
  /** Work that has not stopped by then keeps its lease until that runs out. */
  readonly stopMs: number
  /** A role whose work failed to start is left to others for so long; a holder is asked again for a role after so long. */
  readonly retryMs: number
}

export const LEASE_TIMES: LeaseTimes = {
  ttlMs: 15_000,
  renewMs: 5000,
  marginMs: 3000,
  pollMs: 1000,
  stepMs: 500,
  startGraceMs: 3000,
  stopMs: 5000,
  retryMs: 5000,
}

/** What a process keeps for each role that it knows. Times are monotonic. */
export interface RoleSlot {
  readonly role: string
  readonly shard: number
  readonly definition: RoleDefinition
  working: WorkingRole | undefined
  /** Since when it is free, as far as this process saw; undefined while somebody holds it. */
  freeSinceMs: number | undefined
  /** Not taken before: its work failed. */
  notBeforeMs: number
  /** Its holder is not asked for it before. */
  askAgainMs: number
}

/** Makes the slots of a definition: one for each shard. */
export function makeSlots(definition: RoleDefinition): RoleSlot[] {
  return Array.from({ length: definition.shards ?? 1 }, (_, shard) => ({
    role: definition.shards === undefined ? definition.name : `${definition.name}:${shard}`,
    shard,
    definition,
    working: undefined,
    freeSinceMs: undefined,
    notBeforeMs: 0,
    askAgainMs: 0,
  }))
}

/** Sorts the members that take new work by their claim to a role: preferred ones first, each group by rendezvous. */
export function claimOrder(slot: RoleSlot, live: readonly Member[]): string[] {
  const able = live.flatMap((member) => (member.isDraining ? [] : [member.instance]))
  const preferred = able.filter((name) => slot.definition.preferred.includes(name))
  const others = able.filter((name) => !slot.definition.preferred.includes(name))
  return [...rendezvousOrder(slot.role, preferred), ...rendezvousOrder(slot.role, others)]
}

/** Tells whether a role may be taken, as far as one look at the table shows. The taking itself checks again. */
export function isFree(row: LeaseRow | undefined, members: Pick<Members, 'self' | 'isLive' | 'get'>): boolean {
  if (row === undefined || row.isExpired || row.holder === members.self.instance) return true
  const isLive = members.isLive(row.holder) && members.get(row.holder)?.boot === row.boot
  return row.isHolderGone && !isLive
}

/**
 * When a free role is to be taken by `self`: who is next in line takes it at once, each further one a step later, because views of
 * the members differ, and the next one may not know the role. Infinity when it is not in the line.
 */
export function dueMs(
  slot: RoleSlot,
  times: LeaseTimes,
  { self, live, startedMs }: { readonly self: string; readonly live: readonly Member[]; readonly startedMs: number },
): number {
  const rank = claimOrder(slot, live).indexOf(self)
  if (rank === -1) return Infinity
  const isStandIn = slot.definition.preferred.length > 0 && !slot.definition.preferred.includes(self)
  const graceMs = isStandIn ? startedMs + times.startGraceMs : 0
  return Math.max((slot.freeSinceMs ?? 0) + rank * times.stepMs, graceMs, slot.notBeforeMs)
}
