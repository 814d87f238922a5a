import { createHash } from 'node:crypto'
import { selectAuthSlots } from '../auth-rules/auth-slots.ts'
import { checkAuthRules } from '../auth-rules/check-auth-rules.ts'
import type { MatrixEvent } from '../events/event.ts'
import { stateSlotKey } from '../events/event.ts'
import type { EventId } from '../ids.ts'
import type { RoomVersion } from '../room-versions/room-version.ts'
import type { EventSource } from './event-source.ts'
import { POWER_LEVELS_SLOT } from './room-context.ts'
import type { StateConflicts } from './state-conflicts.ts'

interface Candidates {
  readonly slotKey: string
  /** By ascending depth, then descending hash of the id. */
  readonly events: readonly MatrixEvent[]
}

/**
 * Resolves conflicts as room version 1 does. Gives the slots in conflict; means nothing while the source misses events.
 * Spec: rooms/v1 § State resolution.
 */
export function resolveV1(context: StateConflicts & { roomVersion: RoomVersion; source: EventSource }): Map<string, EventId> {
  const { roomVersion, source } = context
  const all = [...context.conflicted].map(([slotKey, eventIds]) => sortCandidates(slotKey, source.getAll(eventIds)))
  prefetch(all, context)
  if (source.hasMissing) return new Map()
  const resolved = new Map<string, EventId>()
  const isAllowed = (event: MatrixEvent, own?: MatrixEvent): boolean =>
    checkAuthRules(roomVersion, event, (type, stateKey) => {
      const slotKey = stateSlotKey(type, stateKey)
      if (own !== undefined && slotKey === slotKeyOf(own)) return own
      const eventId = resolved.get(slotKey) ?? context.unconflicted(slotKey)
      return eventId === undefined ? undefined : source.get(eventId)
    }).allowed
  // Slots of one pass do not see each other's results, or their order would matter.
  for (const pass of splitIntoPasses(all)) {
    const picked = pass.slots.map(({ slotKey, events }) => [slotKey, pass.pick(events, isAllowed)] as const)
    for (const [slotKey, event] of picked) {
      if (event !== undefined) resolved.set(slotKey, event.eventId)
    }
  }
  return resolved
}

type IsAllowed = (event: MatrixEvent, own?: MatrixEvent) => boolean

interface Pass {
  readonly slots: readonly Candidates[]
  readonly pick: (events: readonly MatrixEvent[], isAllowed: IsAllowed) => MatrixEvent | undefined
}

function splitIntoPasses(all: readonly Candidates[]): Pass[] {
  const passes: Pass[] = [
    { slots: all.filter(({ slotKey }) => passOf(slotKey) === 0), pick: pickFromChain },
    { slots: all.filter(({ slotKey }) => passOf(slotKey) === 1), pick: pickFromChain },
    { slots: all.filter(({ slotKey }) => passOf(slotKey) === 2), pick: pickFromChain },
    { slots: all.filter(({ slotKey }) => passOf(slotKey) === 3), pick: pickDeepest },
  ]
  return passes
}

function passOf(slotKey: string): 0 | 1 | 2 | 3 {
  if (slotKey === POWER_LEVELS_SLOT) return 0
  if (slotKey.startsWith('m.room.join_rules\u0000')) return 1
  return slotKey.startsWith('m.room.member\u0000') ? 2 : 3
}

/** Power levels, join rules and members: each event must be allowed by the one before it, the first that is not ends it. */
function pickFromChain(events: readonly MatrixEvent[], isAllowed: IsAllowed): MatrixEvent | undefined {
  let picked = events[0]
  for (const event of events.slice(1)) {
    if (!isAllowed(event, picked)) break
    picked = event
  }
  return picked
}

/** Everything else: the deepest event that is allowed. If none is, the least deep, as Synapse; the specification is silent. */
function pickDeepest(events: readonly MatrixEvent[], isAllowed: IsAllowed): MatrixEvent | undefined {
  return events.findLast((event) => isAllowed(event)) ?? events[0]
}

function sortCandidates(slotKey: string, events: readonly MatrixEvent[]): Candidates {
  const ranked = events.map((event) => ({ event, hash: createHash('sha1').update(event.eventId).digest('hex') }))
  ranked.sort((a, b) => {
    if (a.event.depth !== b.event.depth) return a.event.depth - b.event.depth
    if (a.hash === b.hash) return 0
    return a.hash > b.hash ? -1 : 1
  })
  return { slotKey, events: ranked.map(({ event }) => event) }
}

function prefetch(all: readonly Candidates[], context: StateConflicts & { roomVersion: RoomVersion; source: EventSource }): void {
  for (const { events } of all) {
    for (const event of events) {
      for (const slot of selectAuthSlots(context.roomVersion, event)) {
        const eventId = context.unconflicted(stateSlotKey(slot.type, slot.stateKey))
        if (eventId !== undefined) context.source.get(eventId)
      }
    }
  }
}

function slotKeyOf(event: MatrixEvent): string {
  return stateSlotKey(event.type, event.stateKey ?? '')
}
