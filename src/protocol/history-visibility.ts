import type { JsonObject } from './json.ts'

/** Who may see history. Spec: client-server-api § Room History Visibility. */
export type HistoryVisibility = 'world_readable' | 'shared' | 'invited' | 'joined'
export type Membership = 'join' | 'invite' | 'knock' | 'leave' | 'ban'

const VISIBILITIES: ReadonlySet<unknown> = new Set(['world_readable', 'shared', 'invited', 'joined'])
const MEMBERSHIPS: ReadonlySet<unknown> = new Set(['join', 'invite', 'knock', 'leave', 'ban'])

/** Reads the content of `m.room.history_visibility`; absent or not understood means shared. */
export function parseHistoryVisibility(content: JsonObject | undefined): HistoryVisibility {
  const value = content?.['history_visibility']
  return VISIBILITIES.has(value) ? (value as HistoryVisibility) : 'shared'
}

/** Reads the content of `m.room.member`; absent or not understood means leave. */
export function parseMembership(content: JsonObject | undefined): Membership {
  const value = content?.['membership']
  return MEMBERSHIPS.has(value) ? (value as Membership) : 'leave'
}

/** What decides whether a user may see an event. "Before" is the state that the event was sent into. */
export interface VisibilityFacts {
  readonly visibilityBefore: HistoryVisibility
  /** Only where the event itself is the `m.room.history_visibility` event. */
  readonly visibilityAfter?: HistoryVisibility | undefined
  readonly membershipBefore: Membership
  /** Only where the event itself is the user's `m.room.member` event. */
  readonly membershipAfter?: Membership | undefined
  /** The user is joined now or was joined at some time after the event. */
  readonly hasJoinedAfter: boolean
}

/** Decides whether a user may see an event. Spec: client-server-api § Room History Visibility, server behaviour. */
export function canSeeEvent(facts: VisibilityFacts): boolean {
  const { visibilityBefore, visibilityAfter, membershipBefore, membershipAfter, hasJoinedAfter } = facts
  // A visibility event and an own membership event may be seen if either side of the change allows it.
  return (
    isAllowed(visibilityBefore, membershipBefore, hasJoinedAfter) ||
    (visibilityAfter !== undefined && isAllowed(visibilityAfter, membershipBefore, hasJoinedAfter)) ||
    (membershipAfter !== undefined &&
      (isAllowed(visibilityBefore, membershipAfter, hasJoinedAfter) || endsInvite(membershipBefore, membershipAfter)))
  )
}

/** The specification's rules 1 to 5. */
function isAllowed(visibility: HistoryVisibility, membership: Membership, hasJoinedAfter: boolean): boolean {
  if (visibility === 'world_readable' || membership === 'join') return true
  if (visibility === 'shared') return hasJoinedAfter
  return visibility === 'invited' && membership === 'invite'
}

/** Who rejects an invite or takes back a knock must see it, or the room would never go away. Behaviour of Synapse. */
function endsInvite(before: Membership, after: Membership): boolean {
  return (before === 'invite' || before === 'knock') && (after === 'leave' || after === 'ban')
}

/** A state value that holds from a stream position on, until the next entry's; the event at that position made it so. */
export interface MembershipFrom {
  readonly fromPos: number
  readonly membership: Membership
}
export interface VisibilityFrom {
  readonly fromPos: number
  readonly visibility: HistoryVisibility
}

/** An event of the page. Positions may repeat and come in any order. */
export interface PageEvent {
  readonly position: number
  /** What the event itself changes: the user's membership, or the room's visibility. */
  readonly changes?: 'own_membership' | 'visibility' | undefined
}

/**
 * Decides for a page of events at once, from the user's memberships and the room's visibilities, each sorted by
 * position. Only for events on the room's main line, whose state before is that of the position before theirs.
 */
export function canSeeEvents(
  events: readonly PageEvent[],
  memberships: readonly MembershipFrom[],
  visibilities: readonly VisibilityFrom[],
): boolean[] {
  const lastJoinedPos = findLastJoinedPos(memberships)
  return events.map(({ position, changes }) => {
    // The state before the event at P is what started before P; the one after it, what started at P or before.
    const membershipIndex = countStartedBefore(memberships, position)
    const visibilityIndex = countStartedBefore(visibilities, position)
    const membershipAfter = changes === 'own_membership' ? startingAt(memberships, membershipIndex, position) : undefined
    const visibilityAfter = changes === 'visibility' ? startingAt(visibilities, visibilityIndex, position) : undefined
    return canSeeEvent({
      membershipBefore: memberships[membershipIndex - 1]?.membership ?? 'leave',
      membershipAfter: membershipAfter?.membership,
      visibilityBefore: visibilities[visibilityIndex - 1]?.visibility ?? 'shared',
      visibilityAfter: visibilityAfter?.visibility,
      hasJoinedAfter: lastJoinedPos >= position,
    })
  })
}

/** The position up to which the user is or was joined for the last time: infinite for who is joined now. */
function findLastJoinedPos(memberships: readonly MembershipFrom[]): number {
  for (let index = memberships.length - 1; index >= 0; index--) {
    if (memberships[index]?.membership === 'join') return memberships[index + 1]?.fromPos ?? Number.POSITIVE_INFINITY
  }
  return Number.NEGATIVE_INFINITY
}

/** How many entries of the sorted list start before the position, by bisection. */
function countStartedBefore(list: readonly { readonly fromPos: number }[], position: number): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((list[middle]?.fromPos ?? Number.POSITIVE_INFINITY) < position) low = middle + 1
    else high = middle
  }
  return low
}

function startingAt<T extends { readonly fromPos: number }>(list: readonly T[], index: number, position: number): T | undefined {
  const entry = list[index]
  return entry?.fromPos === position ? entry : undefined
}

/**
 * Decides whether a server may get an event of a room that it is in: since `invited` and `joined` only those at which one of
 * its users was so. Spec: server-server-api § Backfilling; same rules as for users.
 */
export function canServerSeeEvent(facts: {
  readonly visibility: HistoryVisibility
  /** The memberships of the server's users in the state at the event. */
  readonly memberships: Iterable<Membership>
}): boolean {
  if (facts.visibility === 'world_readable' || facts.visibility === 'shared') return true
  for (const membership of facts.memberships) {
    if (membership === 'join' || (membership === 'invite' && facts.visibility === 'invited')) return true
  }
  return false
}
