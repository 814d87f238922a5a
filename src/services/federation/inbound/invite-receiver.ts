import { canonicalJson } from '../../../protocol/canonical-json.ts'
import { invalidParam, MatrixError } from '../../../protocol/errors.ts'
import { eventFromStoredPdu, parsePdu } from '../../../protocol/events/parse-event.ts'
import type { MatrixEvent } from '../../../protocol/events/event.ts'
import { serverNameOf } from '../../../protocol/ids.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../../protocol/json.ts'
import { getRoomVersion } from '../../../protocol/room-versions/room-versions.ts'
import type { RoomVersion } from '../../../protocol/room-versions/room-version.ts'
import { signEvent } from '../../../protocol/signatures.ts'
import type { SigningKey } from '../../../protocol/signing-key.ts'
import type { Database } from '../../../storage/database.ts'
import { insertStagedEvents } from '../../../storage/tables/federation-staging.ts'
import { getActiveUsers } from '../../../storage/tables/users.ts'
import type { Clock } from '../../../util/clock.ts'
import type { ForeignEvent, ForeignEventsWriter } from '../../events/foreign-events.ts'
import type { InvitePolicy } from '../../rooms/invite-policy.ts'
import type { Memberships } from '../../rooms/memberships.ts'
import type { RoomServers } from '../room-servers.ts'
import type { PduReader } from './pdu-reader.ts'

/** Of what an inviting server shows of the room the rest is not kept. */
const STATE_EVENTS_MAX = 100
const STATE_EVENT_BYTES_MAX = 65_536

/** An invite for one of our users. */
export interface ReceivedInvite {
  readonly origin: ServerName
  readonly roomId: RoomId
  readonly eventId: EventId
  readonly roomVersion: string
  readonly pdu: JsonObject
  /** State of the room, as whole events or stripped. */
  readonly shownState: readonly JsonValue[]
}

/** What taking invites needs. */
export interface InviteReceiverDeps {
  readonly database: Database
  readonly reader: PduReader
  readonly writer: ForeignEventsWriter
  readonly memberships: Pick<Memberships, 'getOfUser'>
  readonly roomServers: RoomServers
  readonly policy: Pick<InvitePolicy, 'checkForeign'>
  readonly blocked: { assertOpen(roomId: RoomId): Promise<void> }
  readonly wake: (roomIds: readonly RoomId[]) => Promise<void>
  readonly clock: Clock
  readonly serverName: ServerName
  readonly signingKey: SigningKey
}

/** Takes invites for our users: checks, signs and stores them. Spec: server-server-api § Inviting to a room, invites-v2.yaml. */
export class InviteReceiver {
  readonly #deps: InviteReceiverDeps

  constructor(deps: InviteReceiverDeps) {
    this.#deps = deps
  }

  /**
   * Returns the event with our signature, once the user's next sync shows it. Throws M_INCOMPATIBLE_ROOM_VERSION, M_INVALID_PARAM,
   * M_FORBIDDEN, M_INVITE_BLOCKED.
   */
  async receive(invite: ReceivedInvite): Promise<JsonObject> {
    const { roomId, shownState } = invite
    const roomVersion = getRoomVersion(invite.roomVersion)
    if (!roomVersion)
      throw new MatrixError('M_INCOMPATIBLE_ROOM_VERSION', 'Your homeserver and ours share no version of this room', {
        extra: { room_version: invite.roomVersion },
      })
    const event = this.#checkShape(invite, roomVersion)
    await this.#deps.blocked.assertOpen(roomId)
    const read = await this.#read(invite, roomVersion)
    if (roomVersion.hashRoomId) await this.#checkShownState(shownState, roomVersion, roomId)
    await this.#checkUser(event)
    const signed = this.#sign(read.event, roomVersion)
    await this.#store(invite, signed, roomVersion)
    return signed.event.pdu as unknown as JsonObject
  }

  #checkShape({ origin, roomId, eventId, pdu }: ReceivedInvite, roomVersion: RoomVersion): MatrixEvent {
    const event = parsePdu(pdu, roomVersion)
    if (event.roomId !== roomId) throw invalidParam('The event belongs to another room')
    if (event.eventId !== eventId) throw invalidParam('The event has another ID')
    if (event.type !== 'm.room.member' || event.content['membership'] !== 'invite')
      throw invalidParam('The event is not an invite')
    if (serverNameOf(event.sender) !== origin) throw invalidParam('The sender does not belong to your server')
    if (event.stateKey === undefined || serverNameOf(event.stateKey) !== this.#deps.serverName)
      throw invalidParam('The invited user does not belong to our server')
    return event
  }

  async #read({ roomId, pdu }: ReceivedInvite, roomVersion: RoomVersion): Promise<ForeignEvent> {
    const [reading] = await this.#deps.reader.read([pdu], roomVersion, { roomId })
    if (reading?.kind === 'read' && reading.pdu.isRedacted !== true) return reading.pdu
    throw invalidParam(reading?.kind === 'refused' ? reading.reason : 'The hash of the event is wrong')
  }

  /** Since room version 12 the room is what its create event says. Spec: invites-v2.yaml (MSC4311). */
  async #checkShownState(state: readonly JsonValue[], roomVersion: RoomVersion, roomId: RoomId): Promise<void> {
    const readings = await this.#deps.reader.read(state.slice(0, STATE_EVENTS_MAX), roomVersion, { roomId })
    const refused = readings.find((reading) => reading.kind === 'refused')
    if (refused?.kind === 'refused') throw invalidParam(`An event of invite_room_state is not in order: ${refused.reason}`)
    if (!readings.some((reading) => reading.kind === 'read' && reading.pdu.event.type === 'm.room.create'))
      throw invalidParam('invite_room_state has no m.room.create event')
  }

  async #checkUser({ stateKey, sender, roomId }: MatrixEvent): Promise<void> {
    const userId = stateKey as UserId
    const [known] = await getActiveUsers(this.#deps.database, [userId])
    if (known === undefined) throw new MatrixError('M_FORBIDDEN', 'The user does not exist')
    await this.#deps.policy.checkForeign({ sender, target: userId, roomId })
  }

  #sign(event: MatrixEvent, roomVersion: RoomVersion): ForeignEvent {
    const pdu = signEvent(roomVersion, event.pdu, this.#deps.serverName, this.#deps.signingKey)
    const json = canonicalJson(pdu as unknown as JsonObject, { allowAnyNumber: !roomVersion.strictCanonicalJson })
    return { event: eventFromStoredPdu(pdu, event.eventId, event.roomId, roomVersion), json }
  }

  /**
   * In a room that we are in, the invite is an event like any other, which has come early. Of one that we are not in any more, what we
   * know is old: a ban may have been lifted.
   */
  async #store({ origin, roomId, shownState }: ReceivedInvite, foreign: ForeignEvent, roomVersion: RoomVersion): Promise<void> {
    const { database, roomServers, serverName, writer, memberships, clock, wake } = this.#deps
    const { event, json } = foreign
    const place = (await memberships.getOfUser(event.stateKey as UserId)).get(roomId)
    if (await roomServers.isInRoom(serverName, roomId)) {
      if (place?.membership === 'join') throw new MatrixError('M_FORBIDDEN', 'The user is in the room already')
      await insertStagedEvents(database, [{ roomId, eventId: event.eventId, origin, json }], clock.nowMs())
      await wake([roomId])
      return
    }
    const strippedState = shownState
      .slice(0, STATE_EVENTS_MAX)
      .map(strip)
      .filter((one) => one !== undefined)
    await writer.setOutsideMembership({ roomId, roomVersion: roomVersion.id, event: foreign, strippedState })
  }
}

/** A state event as clients get it of a room that they are not in. Spec: client-server-api § Stripped state. */
function strip(value: JsonValue): JsonObject | undefined {
  if (!isJsonObject(value)) return undefined
  const { type, state_key: stateKey, sender, content, origin_server_ts: ts } = value
  if (typeof type !== 'string' || typeof stateKey !== 'string' || typeof sender !== 'string' || !isJsonObject(content))
    return undefined
  const stripped: JsonObject = { type, state_key: stateKey, sender, content }
  if (JSON.stringify(stripped).length > STATE_EVENT_BYTES_MAX) return undefined
  return type === 'm.room.create' && typeof ts === 'number' ? { ...stripped, origin_server_ts: ts } : stripped
}
