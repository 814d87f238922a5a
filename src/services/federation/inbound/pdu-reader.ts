import { setImmediate as nextTurn } from 'node:timers/promises'
import { canonicalJson } from '../../../protocol/canonical-json.ts'
import { MatrixError } from '../../../protocol/errors.ts'
import { readPdu } from '../../../protocol/events/parse-event.ts'
import { computeEventId } from '../../../protocol/hashes.ts'
import type { EventId, RoomId } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../../protocol/json.ts'
import { redactMatrixEvent } from '../../../protocol/redaction.ts'
import type { RoomVersion } from '../../../protocol/room-versions/room-version.ts'
import type { ForeignEvent } from '../../events/foreign-events.ts'
import type { KeyRing } from '../key-ring.ts'

/** Events that are parsed and hashed before others get their turn. */
const EVENTS_AT_A_TIME = 50

/** What came of looking at an event of another server. `refused`: malformed, too large, of another room, or not signed as it must be. */
export type PduReading =
  | { readonly kind: 'read'; readonly pdu: ForeignEvent }
  | { readonly kind: 'refused'; readonly eventId: EventId | undefined; readonly reason: string }

/**
 * The one door for events of other servers, wherever they come from: transactions, missing events, states, backfill, joins, invites.
 * Checks shape and size for the room version, content hash (where it does not fit, the redacted event counts) and signatures; what
 * the room's rules say is asked when the event is appended or stored.
 * Spec: server-server-api § Checks performed on receipt of a PDU (1 to 3), § Validating hashes and signatures on received events.
 */
export class PduReader {
  readonly #keyRing: Pick<KeyRing, 'verifyEventSignatures'>

  constructor(deps: { keyRing: Pick<KeyRing, 'verifyEventSignatures'> }) {
    this.#keyRing = deps.keyRing
  }

  /** Reads events; a result for each, in order. With `roomId` those of other rooms are refused. */
  async read(
    pdus: readonly JsonValue[],
    roomVersion: RoomVersion,
    options: { readonly roomId?: RoomId | undefined } = {},
  ): Promise<PduReading[]> {
    const readings: PduReading[] = []
    for (const [index, pdu] of pdus.entries()) {
      if (index > 0 && index % EVENTS_AT_A_TIME === 0) await nextTurn()
      readings.push(readOne(pdu, roomVersion, options.roomId))
    }
    const candidates = readings.flatMap((reading) => (reading.kind === 'read' ? [reading.pdu.event] : []))
    // Of one event that came twice the first copy is judged, and counts.
    const unique = [...new Map(candidates.toReversed().map((event) => [event.eventId, event])).values()]
    const problems = await this.#keyRing.verifyEventSignatures(unique, roomVersion)
    const judged = new Set(unique)
    return readings.map((reading) => {
      if (reading.kind === 'refused') return reading
      const { event } = reading.pdu
      const problem = problems.get(event.eventId)
      if (problem) return { kind: 'refused', eventId: event.eventId, reason: problem.message }
      return judged.has(event) ? reading : { kind: 'refused', eventId: event.eventId, reason: 'The event came twice' }
    })
  }

  /** Reads events and returns those that are right, each once. */
  async readGood(
    pdus: readonly JsonValue[],
    roomVersion: RoomVersion,
    options: { readonly roomId?: RoomId | undefined } = {},
  ): Promise<ForeignEvent[]> {
    const readings = await this.read(pdus, roomVersion, options)
    return readings.flatMap((reading) => (reading.kind === 'read' ? [reading.pdu] : []))
  }

  /** Reads one event. Throws M_BAD_JSON, M_TOO_LARGE or M_FORBIDDEN where it is not as it must be. */
  async readOne(
    pdu: JsonValue,
    roomVersion: RoomVersion,
    options: { readonly roomId?: RoomId | undefined } = {},
  ): Promise<ForeignEvent> {
    if (isJsonObject(pdu)) readPdu(pdu, roomVersion)
    const [reading] = await this.read([pdu], roomVersion, options)
    if (reading?.kind === 'read') return reading.pdu
    throw new MatrixError('M_FORBIDDEN', reading?.reason ?? 'The event is not an object')
  }
}

function readOne(pdu: JsonValue, roomVersion: RoomVersion, roomId: RoomId | undefined): PduReading {
  if (!isJsonObject(pdu)) return { kind: 'refused', eventId: undefined, reason: 'The event is not an object' }
  try {
    const { event, json, hasValidHash } = readPdu(pdu, roomVersion)
    if (roomId !== undefined && event.roomId !== roomId)
      return { kind: 'refused', eventId: event.eventId, reason: 'The event belongs to another room' }
    if (hasValidHash) return { kind: 'read', pdu: { event, json } }
    const redacted = redactMatrixEvent(roomVersion, event)
    const text = canonicalJson(redacted.pdu as unknown as JsonObject, { allowAnyNumber: !roomVersion.strictCanonicalJson })
    return { kind: 'read', pdu: { event: redacted, json: text, isRedacted: true } }
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error
    return { kind: 'refused', eventId: idOfMalformed(pdu, roomVersion), reason: error.message }
  }
}

/** The id of an event that cannot be used, for its sender to know which one is meant. */
function idOfMalformed(pdu: JsonObject, roomVersion: RoomVersion): EventId | undefined {
  try {
    return computeEventId(roomVersion, pdu)
  } catch (error) {
    if (error instanceof MatrixError) return undefined
    throw error
  }
}
