import { selectAuthSlots } from '../../protocol/auth-rules/auth-slots.ts'
import type { AuthStateLookup } from '../../protocol/auth-rules/auth-result.ts'
import { checkAuthRules } from '../../protocol/auth-rules/check-auth-rules.ts'
import { membershipOf } from '../../protocol/auth-rules/membership-rules.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { eventFromStoredPdu } from '../../protocol/events/parse-event.ts'
import type { MatrixEvent, Pdu } from '../../protocol/events/event.ts'
import { computeReferenceHash } from '../../protocol/hashes.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { RoomVersion } from '../../protocol/room-versions/room-version.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import type { Database } from '../../storage/database.ts'
import { getEventsByNid } from '../../storage/tables/events.ts'
import { getRoomHead } from '../../storage/tables/room-state.ts'
import { assert } from '../../util/assert.ts'
import type { Clock } from '../../util/clock.ts'
import { parseEventRecord } from '../events/event-reader.ts'
import type { RoomSlots } from '../rooms/reading/room-slots.ts'
import type { RestrictedJoins } from '../rooms/restricted-joins.ts'
import type { RoomServers } from './room-servers.ts'

/** What a server wants to sign for one of its users. */
export interface TemplateRequest {
  readonly origin: ServerName
  readonly roomId: RoomId
  readonly userId: UserId
  readonly membership: 'join' | 'leave' | 'knock'
  /** The room versions that the server speaks; undefined where the request does not say. */
  readonly roomVersions: readonly string[] | undefined
}

/** An event without hashes and signatures, as make_join and its like answer it. */
export interface MembershipTemplate {
  readonly room_version: string
  readonly event: JsonObject
}

/** A room as it is now, as far as a membership depends on it. */
interface RoomNow {
  readonly roomVersion: RoomVersion
  readonly depth: number
  readonly extremities: readonly MatrixEvent[]
}

/**
 * Prepares membership events for servers that are not in the room, who sign them and send them back. Everything is checked
 * again then. Spec: server-server-api § Joining Rooms, § Knocking upon a room, § Leaving Rooms (Rejecting Invites).
 */
export class MembershipTemplates {
  readonly #database: Database
  readonly #clock: Clock
  readonly #serverName: ServerName
  readonly #slots: RoomSlots
  readonly #roomServers: RoomServers
  readonly #restrictedJoins: RestrictedJoins

  constructor(deps: {
    database: Database
    clock: Clock
    serverName: ServerName
    slots: RoomSlots
    roomServers: RoomServers
    restrictedJoins: RestrictedJoins
  }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#serverName = deps.serverName
    this.#slots = deps.slots
    this.#roomServers = deps.roomServers
    this.#restrictedJoins = deps.restrictedJoins
  }

  /**
   * Makes the event. Throws M_NOT_FOUND where we are not in the room, M_INCOMPATIBLE_ROOM_VERSION, M_FORBIDDEN where the room's
   * rules refuse it; M_UNABLE_TO_AUTHORISE_JOIN and M_UNABLE_TO_GRANT_JOIN where another server may know better.
   */
  async make(request: TemplateRequest): Promise<MembershipTemplate> {
    const { origin, roomId, userId, membership } = request
    if (serverNameOf(userId) !== origin) throw new MatrixError('M_FORBIDDEN', 'The user does not belong to your server')
    const room = await this.#getRoom(roomId)
    if (!room || !(await this.#roomServers.isInRoom(this.#serverName, roomId)))
      throw new MatrixError('M_NOT_FOUND', 'Not an active room on this server')
    const { roomVersion } = room
    assertIsSpoken(roomVersion, request)
    if (membership === 'knock' && !roomVersion.hasKnock)
      throw new MatrixError('M_FORBIDDEN', 'Nobody can knock on rooms of this version')
    const content: Record<string, string> = { membership }
    let state = await this.#getState(roomVersion, roomId, { userId, content })
    if (membership === 'join') {
      const authoriser = await this.#findAuthoriser(roomVersion, state, { roomId, userId })
      if (authoriser !== undefined) {
        content['join_authorised_via_users_server'] = authoriser
        state = await this.#getState(roomVersion, roomId, { userId, content })
      }
    }
    return this.#build(room, state, { roomId, userId, content })
  }

  async #getRoom(roomId: RoomId): Promise<RoomNow | undefined> {
    const head = await getRoomHead(this.#database, roomId)
    if (!head || head.extremities.length === 0) return undefined
    const roomVersion = getRoomVersion(head.roomVersion)
    assert(roomVersion, 'only rooms of known versions are stored')
    // From the database and not from the room's model, which only its owner holds, and which runs ahead of the commits.
    const records = await getEventsByNid(this.#database, head.extremities)
    return { roomVersion, depth: head.depth, extremities: records.map((record) => parseEventRecord(record).event) }
  }

  #getState(
    roomVersion: RoomVersion,
    roomId: RoomId,
    event: { readonly userId: UserId; readonly content: JsonObject },
  ): Promise<AuthStateLookup> {
    const { userId, content } = event
    const subject = { type: 'm.room.member', sender: userId, stateKey: userId, content }
    const slots = [...selectAuthSlots(roomVersion, subject)]
    // Since room version 12 no event names it, but every rule asks for it.
    if (roomVersion.hashRoomId) slots.push({ type: 'm.room.create', stateKey: '' })
    return this.#slots.get(roomId, slots)
  }

  /** Spec: server-server-api § Restricted rooms. Who is invited or joined already needs no authoriser. */
  async #findAuthoriser(
    roomVersion: RoomVersion,
    state: AuthStateLookup,
    join: { readonly roomId: RoomId; readonly userId: UserId },
  ): Promise<UserId | undefined> {
    const membership = membershipOf(state, join.userId)
    if (membership === 'join' || membership === 'invite' || membership === 'ban') return undefined
    try {
      return await this.#restrictedJoins.findAuthoriser(join.roomId, join.userId, { version: roomVersion, state })
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error
      if (error.errcode === 'M_UNABLE_TO_GRANT_JOIN') throw new MatrixError(error.errcode, error.message, { status: 400 })
      // The user may be in a room that we know nothing of.
      if (error.errcode === 'M_FORBIDDEN' && (await this.#hasUnknownAllowedRoom(state)))
        throw new MatrixError('M_UNABLE_TO_AUTHORISE_JOIN', 'Unable to check whether the user is in one of the allowed rooms')
      throw error
    }
  }

  async #hasUnknownAllowedRoom(state: AuthStateLookup): Promise<boolean> {
    for (const roomId of this.#restrictedJoins.getAllowedRooms(state)) {
      if (!(await this.#roomServers.isInRoom(this.#serverName, roomId))) return true
    }
    return false
  }

  #build(
    room: RoomNow,
    state: AuthStateLookup,
    event: { readonly roomId: RoomId; readonly userId: UserId; readonly content: JsonObject },
  ): MembershipTemplate {
    const { roomVersion } = room
    const { roomId, userId, content } = event
    const subject = { type: 'm.room.member', sender: userId, stateKey: userId, content }
    const authEvents = selectAuthSlots(roomVersion, subject).flatMap((slot) => state(slot.type, slot.stateKey) ?? [])
    const template = {
      type: 'm.room.member',
      room_id: roomId,
      sender: userId,
      state_key: userId,
      content,
      depth: room.depth + 1,
      prev_events: references(roomVersion, room.extremities),
      auth_events: references(roomVersion, authEvents),
      origin: this.#serverName,
      origin_server_ts: this.#clock.nowMs(),
    }
    // No rule looks at what is not there yet: id, hashes and signatures.
    const draft = eventFromStoredPdu(template as unknown as Pdu, '$template' as EventId, roomId, roomVersion)
    const verdict = checkAuthRules(roomVersion, draft, state)
    if (!verdict.allowed) throw new MatrixError('M_FORBIDDEN', verdict.reason)
    return { room_version: roomVersion.id, event: template as unknown as JsonObject }
  }
}

/** Throws M_INCOMPATIBLE_ROOM_VERSION. Who does not say speaks version 1 only, and leaves from any room. Spec: joins-v1.yaml. */
function assertIsSpoken(roomVersion: RoomVersion, request: TemplateRequest): void {
  if (request.membership === 'leave' || (request.roomVersions ?? ['1']).includes(roomVersion.id)) return
  throw new MatrixError(
    'M_INCOMPATIBLE_ROOM_VERSION',
    `Your homeserver does not support the features required to ${request.membership} this room`,
    { extra: { room_version: roomVersion.id } },
  )
}

function references(roomVersion: RoomVersion, events: readonly MatrixEvent[]): Pdu['prev_events'] {
  if (roomVersion.eventIdFormat !== 1) return events.map((event) => event.eventId)
  return events.map((event): readonly [string, JsonObject] => [
    event.eventId,
    { sha256: computeReferenceHash(roomVersion, event.pdu) },
  ])
}
