import { selectAuthSlots } from '../../../protocol/auth-rules/auth-slots.ts'
import { joinRuleOf, allowsRestrictedJoin } from '../../../protocol/auth-rules/membership-rules.ts'
import { invalidParam, MatrixError } from '../../../protocol/errors.ts'
import { parsePdu } from '../../../protocol/events/parse-event.ts'
import type { MatrixEvent } from '../../../protocol/events/event.ts'
import { serverNameOf } from '../../../protocol/ids.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../../protocol/ids.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import { getRoomVersion } from '../../../protocol/room-versions/room-versions.ts'
import type { RoomVersion } from '../../../protocol/room-versions/room-version.ts'
import { signEvent } from '../../../protocol/signatures.ts'
import type { SigningKey } from '../../../protocol/signing-key.ts'
import type { Database } from '../../../storage/database.ts'
import { insertEventRelay } from '../../../storage/tables/event-relays.ts'
import { getRoomVersionId } from '../../../storage/tables/outside-rooms.ts'
import type { Clock } from '../../../util/clock.ts'
import type { ForeignEvent, ForeignEventsWriter } from '../../events/foreign-events.ts'
import type { Memberships } from '../../rooms/memberships.ts'
import type { RoomSlots } from '../../rooms/reading/room-slots.ts'
import type { RestrictedJoins } from '../../rooms/restricted-joins.ts'
import type { RoomServers } from '../room-servers.ts'
import type { JoinAnswers } from './join-answers.ts'
import type { PduReader } from './pdu-reader.ts'

/** A signed membership event that a server asks us to bring into the room. */
export interface SentMembership {
  readonly origin: ServerName
  readonly roomId: RoomId
  readonly eventId: EventId
  readonly pdu: JsonObject
}

/** What bringing in membership events needs. */
export interface MembershipReceiverDeps {
  readonly database: Database
  readonly reader: PduReader
  readonly writer: ForeignEventsWriter
  readonly answers: JoinAnswers
  readonly memberships: Pick<Memberships, 'getMembership'>
  readonly roomServers: RoomServers
  readonly slots: RoomSlots
  readonly restrictedJoins: RestrictedJoins
  readonly clock: Clock
  readonly serverName: ServerName
  readonly signingKey: SigningKey
  /** State that is shown to who knocks. */
  readonly strippedTypes: readonly string[]
}

/**
 * Brings membership events into our rooms for servers that are not in them: joins, leaves and knocks that we prepared by make_join and
 * its like. We tell the room's other servers of them. Spec: server-server-api § Joining Rooms, § Leaving Rooms, § Knocking upon a room.
 */
export class MembershipReceiver {
  readonly #deps: MembershipReceiverDeps

  constructor(deps: MembershipReceiverDeps) {
    this.#deps = deps
  }

  /** Takes a join; returns the JSON text that tells of the room. Throws M_INVALID_PARAM, M_BAD_JSON, M_FORBIDDEN, M_NOT_FOUND. */
  async join(request: SentMembership, options: { readonly omitsMembers: boolean }): Promise<string> {
    const { roomId } = request
    const roomVersion = await this.#findRoom(roomId)
    const draft = this.#checkShape(request, roomVersion, 'join')
    const pdu = await this.#authorise(request.pdu, draft, roomVersion)
    const servers = await this.#deps.answers.getServers(roomId)
    const foreign = await this.#append({ ...request, pdu }, roomVersion)
    const { eventId, sender: userId } = foreign.event
    const { omitsMembers } = options
    return this.#deps.answers.write({ roomId, eventId, userId, json: foreign.json, omitsMembers, servers })
  }

  /** Takes a leave, which may reject an invite. Throws as `join` does. */
  async leave(request: SentMembership): Promise<void> {
    const roomVersion = await this.#findRoom(request.roomId)
    this.#checkShape(request, roomVersion, 'leave')
    await this.#append(request, roomVersion)
  }

  /** Takes a knock; returns the state that the user is shown, as whole events. Throws as `join` does. */
  async knock(request: SentMembership): Promise<JsonObject[]> {
    const { roomId } = request
    const roomVersion = await this.#findRoom(roomId)
    if (!roomVersion.hasKnock) throw new MatrixError('M_FORBIDDEN', 'Nobody can knock on rooms of this version')
    this.#checkShape(request, roomVersion, 'knock')
    await this.#append(request, roomVersion)
    const slots = this.#deps.strippedTypes.map((type) => ({ type, stateKey: '' }))
    const lookup = await this.#deps.slots.get(roomId, slots)
    const events = slots.map(({ type }) => lookup(type, '')).filter((event) => event !== undefined)
    return events.map((event) => event.pdu as unknown as JsonObject)
  }

  async #findRoom(roomId: RoomId): Promise<RoomVersion> {
    const { database, roomServers, serverName } = this.#deps
    const versionId = await getRoomVersionId(database, roomId)
    const roomVersion = versionId === undefined ? undefined : getRoomVersion(versionId)
    if (!roomVersion || !(await roomServers.isInRoom(serverName, roomId)))
      throw new MatrixError('M_NOT_FOUND', 'Not an active room on this server')
    return roomVersion
  }

  #checkShape({ origin, roomId, eventId, pdu }: SentMembership, roomVersion: RoomVersion, membership: string): MatrixEvent {
    const event = parsePdu(pdu, roomVersion)
    if (event.roomId !== roomId) throw invalidParam('The event belongs to another room')
    if (event.eventId !== eventId) throw invalidParam('The event has another ID')
    if (event.type !== 'm.room.member' || event.content['membership'] !== membership)
      throw invalidParam(`The event is not a ${membership}`)
    if (event.stateKey !== event.sender) throw invalidParam('state_key and sender of the event differ')
    if (serverNameOf(event.sender) !== origin) throw new MatrixError('M_FORBIDDEN', 'The user does not belong to your server')
    return event
  }

  /** Signs a join that one of our users authorises, if the room's rules let the user in. Spec: server-server-api § Restricted rooms. */
  async #authorise(pdu: JsonObject, event: MatrixEvent, roomVersion: RoomVersion): Promise<JsonObject> {
    const { serverName, signingKey, memberships, restrictedJoins, slots } = this.#deps
    const authoriser = event.content['join_authorised_via_users_server']
    if (!roomVersion.hasRestrictedJoin || typeof authoriser !== 'string' || serverNameOf(authoriser) !== serverName) return pdu
    const place = await memberships.getMembership(event.sender, event.roomId)
    if (place !== 'join' && place !== 'invite') {
      const state = await slots.get(event.roomId, [
        ...selectAuthSlots(roomVersion, event),
        { type: 'm.room.join_rules', stateKey: '' },
      ])
      const isRestricted = allowsRestrictedJoin(roomVersion, joinRuleOf(state))
      if (isRestricted && !(await restrictedJoins.isAllowed(event.sender, state)))
        throw new MatrixError('M_FORBIDDEN', 'You do not belong to any of the required rooms or spaces to join this room.')
    }
    return signEvent(roomVersion, event.pdu, serverName, signingKey) as unknown as JsonObject
  }

  async #append({ origin, roomId, pdu }: SentMembership, roomVersion: RoomVersion): Promise<ForeignEvent> {
    const { database, reader, writer, clock } = this.#deps
    const foreign = await reader.readOne(pdu, roomVersion, { roomId })
    const { eventId } = foreign.event
    await insertEventRelay(database, { eventId, isToldByUs: true, peer: origin, createdTsMs: clock.nowMs() })
    const [result] = await writer.appendForeign({ roomId, events: [foreign] })
    if (result === 'accepted') return foreign
    if (result === 'known' && (await this.#isPlaceOf(foreign.event))) return foreign
    throw new MatrixError('M_FORBIDDEN', 'The rules of the room do not allow the event')
  }

  /** A request that comes again finds its event in the room. */
  async #isPlaceOf(event: MatrixEvent): Promise<boolean> {
    return (await this.#deps.memberships.getMembership(event.stateKey as UserId, event.roomId)) === event.content['membership']
  }
}
