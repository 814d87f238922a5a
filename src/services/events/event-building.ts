import { checkAuthRules } from '../../protocol/auth-rules/check-auth-rules.ts'
import { selectAuthSlots } from '../../protocol/auth-rules/auth-slots.ts'
import { canApplyRedaction, getPowerLevelsOf } from '../../protocol/auth-rules/power-levels.ts'
import { canonicalJson } from '../../protocol/canonical-json.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { buildEvent } from '../../protocol/events/event-builder.ts'
import type { BuiltEvent } from '../../protocol/events/event-builder.ts'
import { DEPTH_MAX } from '../../protocol/events/event-limits.ts'
import { stateSlotKey } from '../../protocol/events/event.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import { computeReferenceHash } from '../../protocol/hashes.ts'
import type { EventId, RoomId, ServerName } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { redactMatrixEvent } from '../../protocol/redaction.ts'
import type { RoomVersion } from '../../protocol/room-versions/room-version.ts'
import type { SigningKey } from '../../protocol/signing-key.ts'
import type { Random } from '../../util/random.ts'
import type { PushOutcome } from '../push/push-actions.ts'
import type { EventIntent, EventTransaction } from './event-intent.ts'
import { StateEntry } from './room-model.ts'
import type { RoomModel } from './room-model.ts'
import type { StateRef } from './state-ref.ts'

const EVENT_ID_LETTERS = 18
/** Of an event of ours; with more extremities the others stay (design: rooms and state, invariant 5). */
const PREV_EVENTS_MAX = 10
const RELATION_TYPE_BYTES_MAX = 255

/** Who builds, and with what. */
export interface BuildDeps {
  readonly serverName: ServerName
  readonly signingKey: SigningKey
  readonly random: Random
  readonly nowMs: number
  readonly eventNid: number
}

/** A change of a slot that an event brought about; without `after` the slot is empty now. */
export interface AppliedChange {
  readonly type: string
  readonly stateKey: string
  readonly before: StateEntry | undefined
  readonly after: StateEntry | undefined
}

/** An event that was built and applied to its room's model, on its way to the database. */
export interface PendingEvent {
  readonly eventNid: number
  readonly event: MatrixEvent
  readonly json: string
  readonly transaction: EventTransaction | undefined
  /** What it changed in the current state: its own slot mostly. */
  readonly changes: readonly AppliedChange[]
  /** The event that held its slot before. */
  readonly replaced: StateEntry | undefined
  /** The target of a redaction that takes effect. */
  readonly redacts: EventId | undefined
  readonly relation: { readonly type: string; readonly eventId: string } | undefined
  readonly push: PushOutcome
  /** Notifying events of the room up to and including this one. */
  readonly notifyOrdinal: number
  readonly prevNids: readonly number[]
  /** Of state events only. */
  readonly authNids: readonly number[]
  /** What an event of another server has besides. */
  readonly foreign: ForeignPart | undefined
}

/** How an event of another server is stored, where that differs from one of ours. */
export interface ForeignPart {
  readonly flags: number
  /** It gets a position of its own, and readers are told. */
  readonly isInTimeline: boolean
  readonly isPromoted: boolean
  /** State before the event; undefined: the room's state as of the position before its own. */
  readonly before: StateRef | undefined
  readonly missingPrevIds: readonly EventId[]
  readonly isAwaited: boolean
  /** The redaction that was here first and takes effect. */
  readonly redaction: MatrixEvent | undefined
  /** Its place among what was before the stream. */
  readonly history: { readonly position: number; readonly ordinal: number } | undefined
}

const NO_CHANGES: readonly AppliedChange[] = []

/** Builds and signs the create event of a new room, which names the room since version 12. */
export function buildCreateEvent(roomVersion: RoomVersion, intent: EventIntent, deps: BuildDeps): BuiltEvent {
  const roomId = roomVersion.hashRoomId ? undefined : (`!${deps.random.letters(EVENT_ID_LETTERS)}:${deps.serverName}` as RoomId)
  const built = buildEvent(
    { ...templateOf(roomVersion, intent, deps), roomId, depth: 1, prevEvents: [], authEvents: [], referenceHashes: new Map() },
    { roomVersion, serverName: deps.serverName, signingKey: deps.signingKey },
  )
  const verdict = checkAuthRules(roomVersion, built.event, () => undefined)
  if (!verdict.allowed) throw new MatrixError('M_FORBIDDEN', verdict.reason)
  return built
}

/** Builds, signs and authorises the next event of a room. Throws M_FORBIDDEN with the rule that refused it. */
export function buildNextEvent(
  model: Pick<RoomModel, 'roomId' | 'roomVersion' | 'lookup' | 'extremities' | 'depth'>,
  intent: EventIntent,
  deps: BuildDeps,
): BuiltEvent {
  const { roomVersion } = model
  const authEvents: MatrixEvent[] = []
  for (const slot of selectAuthSlots(roomVersion, { ...intent, stateKey: intent.stateKey })) {
    const event = model.lookup(slot.type, slot.stateKey)
    if (event) authEvents.push(event)
  }
  const prevEvents = model.extremities.slice(0, PREV_EVENTS_MAX).map((extremity) => extremity.event)
  const built = buildEvent(
    {
      ...templateOf(roomVersion, intent, deps),
      roomId: model.roomId,
      depth: Math.min(model.depth + 1, DEPTH_MAX),
      prevEvents: prevEvents.map((event) => event.eventId),
      authEvents: authEvents.map((event) => event.eventId),
      ...(roomVersion.eventIdFormat === 1 && { referenceHashes: referenceHashes(roomVersion, [...prevEvents, ...authEvents]) }),
    },
    { roomVersion, serverName: deps.serverName, signingKey: deps.signingKey },
  )
  const verdict = checkAuthRules(roomVersion, built.event, model.lookup)
  if (!verdict.allowed) throw new MatrixError('M_FORBIDDEN', verdict.reason)
  return built
}

function templateOf(roomVersion: RoomVersion, intent: EventIntent, deps: BuildDeps) {
  return {
    type: intent.type,
    sender: intent.sender,
    stateKey: intent.stateKey,
    content: intent.content,
    originServerTs: intent.originServerTs ?? deps.nowMs,
    redacts: intent.redacts,
    ...(roomVersion.eventIdFormat === 1 && {
      eventId: `$${deps.random.letters(EVENT_ID_LETTERS)}:${deps.serverName}` as EventId,
    }),
  }
}

function referenceHashes(roomVersion: RoomVersion, events: readonly MatrixEvent[]): Map<EventId, string> {
  return new Map(events.map((event) => [event.eventId, computeReferenceHash(roomVersion, event.pdu)]))
}

/** The event that already says what the intent wants to set: the same sender and content in the slot. */
export function findUnchangedState(model: RoomModel, intent: EventIntent): StateEntry | undefined {
  if (intent.stateKey === undefined) return undefined
  const entry = model.entry(intent.type, intent.stateKey)
  if (!entry || entry.event.sender !== intent.sender) return undefined
  return canonicalJson(entry.event.content) === canonicalJson(intent.content) ? entry : undefined
}

/**
 * Moves the model on by a built event: head, slot, counters. `touched` collects the slots' former entries.
 * `target` is the event that a redaction names, if it is known.
 */
export function applyToModel(
  model: RoomModel,
  built: BuiltEvent,
  context: {
    intent: EventIntent
    eventNid: number
    target: MatrixEvent | undefined
    push: PushOutcome
    touched: Map<string, StateEntry | undefined>
  },
): PendingEvent {
  const { event } = built
  const { eventNid, touched, target, push, intent } = context
  let changes = NO_CHANGES
  const redacts = isEffectiveRedaction(model, event, target) ? event.redacts : undefined
  const authNids = event.stateKey === undefined ? [] : authNidsOf(model, event)
  if (event.stateKey !== undefined) {
    const entry = new StateEntry({ eventNid, eventId: event.eventId, type: event.type, stateKey: event.stateKey }, event)
    changes = [applyChange(model, { type: event.type, stateKey: event.stateKey, after: entry }, touched)]
  }
  if (redacts !== undefined && target) redactEntry(model, target, touched)
  const prevNids = model.extremities.slice(0, PREV_EVENTS_MAX).map((extremity) => extremity.eventNid)
  model.extremities = [{ eventNid, event }, ...model.extremities.slice(PREV_EVENTS_MAX)]
  model.depth = event.depth
  if (push.isNotifying) model.notifyOrdinal += 1
  return {
    eventNid,
    event,
    json: built.json,
    transaction: intent.transaction,
    changes,
    replaced: changes[0]?.before,
    redacts,
    relation: relationOf(event),
    push,
    notifyOrdinal: model.notifyOrdinal,
    prevNids,
    authNids,
    foreign: undefined,
  }
}

/** Numbers of the auth events, all of which the current state holds. */
function authNidsOf(model: RoomModel, event: MatrixEvent): number[] {
  return selectAuthSlots(model.roomVersion, event).flatMap((slot) => model.entry(slot.type, slot.stateKey)?.eventNid ?? [])
}

/** Sets or empties a slot of the current state, and counts members. */
export function applyChange(
  model: RoomModel,
  change: { readonly type: string; readonly stateKey: string; readonly after: StateEntry | undefined },
  touched: Map<string, StateEntry | undefined>,
): AppliedChange {
  const { type, stateKey, after } = change
  const before = model.entry(type, stateKey)
  if (after) setSlot(model, after, touched)
  else {
    const key = stateSlotKey(type, stateKey)
    if (!touched.has(key)) touched.set(key, before)
    model.deleteEntry(type, stateKey)
  }
  if (type === 'm.room.member') countMembership(model, before?.event.content['membership'], after?.event.content['membership'])
  return { type, stateKey, before, after }
}

/** Takes from the current state what a redaction takes from an event in it. */
export function redactEntry(model: RoomModel, target: MatrixEvent, touched: Map<string, StateEntry | undefined>): void {
  if (target.stateKey === undefined) return
  const entry = model.entry(target.type, target.stateKey)
  if (entry?.eventId !== target.eventId) return
  const { eventNid, eventId, type, stateKey } = entry
  setSlot(
    model,
    new StateEntry({ eventNid, eventId, type, stateKey }, redactMatrixEvent(model.roomVersion, entry.event)),
    touched,
  )
}

function setSlot(model: RoomModel, entry: StateEntry, touched: Map<string, StateEntry | undefined>): void {
  const key = stateSlotKey(entry.type, entry.stateKey)
  if (!touched.has(key)) touched.set(key, model.entry(entry.type, entry.stateKey))
  model.setEntry(entry)
}

function countMembership(model: RoomModel, before: unknown, after: unknown): void {
  model.joinedCount += Number(after === 'join') - Number(before === 'join')
  model.invitedCount += Number(after === 'invite') - Number(before === 'invite')
}

/** Tells whether a redaction takes effect on its target. */
export function isEffectiveRedaction(model: RoomModel, event: MatrixEvent, target: MatrixEvent | undefined): boolean {
  if (event.redacts === undefined || target === undefined || target.roomId !== model.roomId) return false
  // A create event or a redaction can be redacted too; what the algorithm keeps decides what is left.
  return canApplyRedaction(getPowerLevelsOf(model.roomVersion, model.lookup), event.sender, target.sender)
}

/** `m.relates_to` of an event, where it is well-formed. Spec: client-server-api § Forming relationships between events. */
export function relationOf(event: MatrixEvent): { type: string; eventId: string } | undefined {
  return relationOfContent(event.content)
}

/** The relation that an event with this content has. */
export function relationOfContent(content: JsonObject): { type: string; eventId: string } | undefined {
  const relates = content['m.relates_to']
  if (!isJsonObject(relates)) return undefined
  const type = relates['rel_type']
  const eventId = relates['event_id']
  if (typeof type !== 'string' || typeof eventId !== 'string' || type === '') return undefined
  return Buffer.byteLength(type) > RELATION_TYPE_BYTES_MAX ||
    Buffer.byteLength(eventId) > RELATION_TYPE_BYTES_MAX ||
    eventId.includes('\u0000') ||
    type.includes('\u0000')
    ? undefined
    : { type, eventId }
}
