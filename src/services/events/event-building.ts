import { checkAuthRules } from '../../protocol/auth-rules/check-auth-rules.ts'
import { selectAuthSlots } from '../../protocol/auth-rules/auth-slots.ts'
import { canApplyRedaction, getPowerLevelsOf } from '../../protocol/auth-rules/power-levels.ts'
import { canonicalJson } from '../../protocol/canonical-json.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { toClientEventJson } from '../../protocol/events/client-event.ts'
import { buildEvent } from '../../protocol/events/event-builder.ts'
import type { BuiltEvent } from '../../protocol/events/event-builder.ts'
import { stateSlotKey } from '../../protocol/events/event.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import { computeReferenceHash } from '../../protocol/hashes.ts'
import type { EventId, RoomId, ServerName } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { redactMatrixEvent } from '../../protocol/redaction.ts'
import type { RoomVersion } from '../../protocol/room-versions/room-version.ts'
import type { SigningKey } from '../../protocol/signing-key.ts'
import type { EventRow } from '../../streams/streams.ts'
import type { Random } from '../../util/random.ts'
import type { PushOutcome } from '../push/push-actions.ts'
import type { EventIntent } from './event-intent.ts'
import { StateEntry } from './room-model.ts'
import type { RoomModel } from './room-model.ts'

const EVENT_ID_LETTERS = 18
const RELATION_TYPE_BYTES_MAX = 255

/** Who builds, and with what. */
export interface BuildDeps {
  readonly serverName: ServerName
  readonly signingKey: SigningKey
  readonly random: Random
  readonly nowMs: number
  readonly eventNid: number
}

/** An event that was built and applied to its room's model, on its way to the database. */
export interface PendingEvent {
  readonly eventNid: number
  readonly event: MatrixEvent
  readonly json: string
  readonly intent: EventIntent
  /** The event that held the slot before. */
  readonly replaced: StateEntry | undefined
  /** The target of a redaction that takes effect. */
  readonly redacts: EventId | undefined
  readonly relation: { readonly type: string; readonly eventId: string } | undefined
  readonly push: PushOutcome
  /** Notifying events of the room up to and including this one. */
  readonly notifyOrdinal: number
}

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
export function buildNextEvent(model: RoomModel, intent: EventIntent, deps: BuildDeps): BuiltEvent {
  const { roomVersion } = model
  const authEvents: MatrixEvent[] = []
  for (const slot of selectAuthSlots(roomVersion, { ...intent, stateKey: intent.stateKey })) {
    const event = model.lookup(slot.type, slot.stateKey)
    if (event) authEvents.push(event)
  }
  const prevEvents = model.extremities.map((extremity) => extremity.event)
  const built = buildEvent(
    {
      ...templateOf(roomVersion, intent, deps),
      roomId: model.roomId,
      depth: model.depth + 1,
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
  let replaced: StateEntry | undefined
  const redacts = isEffectiveRedaction(model, event, target) ? event.redacts : undefined
  if (event.stateKey !== undefined) {
    replaced = model.entry(event.type, event.stateKey)
    setSlot(
      model,
      new StateEntry({ eventNid, eventId: event.eventId, type: event.type, stateKey: event.stateKey }, event),
      touched,
    )
    if (event.type === 'm.room.member') countMembership(model, replaced?.event.content['membership'], event.content['membership'])
  }
  if (redacts !== undefined && target?.stateKey !== undefined) {
    const entry = model.entry(target.type, target.stateKey)
    if (entry?.eventId === redacts) {
      const redacted = redactMatrixEvent(model.roomVersion, entry.event)
      setSlot(
        model,
        new StateEntry(
          { eventNid: entry.eventNid, eventId: entry.eventId, type: entry.type, stateKey: entry.stateKey },
          redacted,
        ),
        touched,
      )
    }
  }
  model.extremities = [{ eventNid, event }]
  model.depth = event.depth
  if (push.isNotifying) model.notifyOrdinal += 1
  return {
    eventNid,
    event,
    json: built.json,
    intent,
    replaced,
    redacts,
    relation: relationOf(event),
    push,
    notifyOrdinal: model.notifyOrdinal,
  }
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

function isEffectiveRedaction(model: RoomModel, event: MatrixEvent, target: MatrixEvent | undefined): boolean {
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

/** What a row of the events stream takes from the event itself. */
export function eventRowBase(
  event: MatrixEvent,
): Pick<
  EventRow,
  'roomId' | 'eventId' | 'type' | 'stateKey' | 'sender' | 'depth' | 'originServerTs' | 'membership' | 'clientJson'
> {
  const membership = event.type === 'm.room.member' ? event.content['membership'] : undefined
  return {
    roomId: event.roomId,
    eventId: event.eventId,
    type: event.type,
    stateKey: event.stateKey,
    sender: event.sender,
    depth: event.depth,
    originServerTs: event.originServerTs,
    membership: typeof membership === 'string' ? membership : undefined,
    clientJson: toClientEventJson(event, { omitRoomId: true }).slice(0, -1),
  }
}

/** What the events stream tells its readers about the event. */
export function toEventRow(pending: PendingEvent): EventRow {
  const { event, intent, replaced } = pending
  return {
    ...eventRowBase(event),
    redacts: pending.redacts,
    relation: pending.relation,
    replacesState: replaced && {
      eventId: replaced.eventId,
      contentJson: JSON.stringify(replaced.event.content),
      sender: replaced.event.sender,
    },
    transaction: intent.transaction && { deviceId: intent.transaction.device, transactionId: intent.transaction.id },
    push: pending.push,
  }
}
