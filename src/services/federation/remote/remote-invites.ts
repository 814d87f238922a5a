import { canonicalJson } from '../../../protocol/canonical-json.ts'
import { MatrixError } from '../../../protocol/errors.ts'
import { eventFromStoredPdu } from '../../../protocol/events/parse-event.ts'
import type { BuiltEvent } from '../../../protocol/events/event-builder.ts'
import type { Pdu } from '../../../protocol/events/event.ts'
import { serverNameOf } from '../../../protocol/ids.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import { redactEvent } from '../../../protocol/redaction.ts'
import { getRoomVersion } from '../../../protocol/room-versions/room-versions.ts'
import type { RoomVersion } from '../../../protocol/room-versions/room-version.ts'
import { assert } from '../../../util/assert.ts'
import type { EventIntent } from '../../events/event-intent.ts'
import type { ForeignEvent } from '../../events/foreign-events.ts'
import type { RoomSlots } from '../../rooms/reading/room-slots.ts'
import type { FederationClient } from '../federation-client.ts'
import type { KeyRing } from '../key-ring.ts'
import { isUnknownEndpoint } from './membership-handshake.ts'
import type { RemoteRoomsWriter } from './remote-rooms-writer.ts'
import { BadAnswerError, tryServers } from './try-servers.ts'

const INVITE_TIMEOUT_MS = 30_000
/** The room moved while the other server signed: the invite is built anew. */
const ATTEMPTS_MAX = 3

export interface RemoteInvite {
  readonly roomId: RoomId
  readonly sender: UserId
  readonly userId: UserId
  readonly content: JsonObject
}

/**
 * Invites users of other servers: their server signs the event before it becomes part of the room, and may refuse it.
 * Spec: server-server-api § Inviting to a room.
 */
export class RemoteInvites {
  readonly #client: FederationClient
  readonly #keyRing: KeyRing
  readonly #writer: RemoteRoomsWriter
  readonly #slots: RoomSlots
  readonly #strippedTypes: readonly string[]

  constructor(deps: {
    client: FederationClient
    keyRing: KeyRing
    writer: RemoteRoomsWriter
    slots: RoomSlots
    /** State that the invited user is shown. */
    strippedTypes: readonly string[]
  }) {
    this.#client = deps.client
    this.#keyRing = deps.keyRing
    this.#writer = deps.writer
    this.#slots = deps.slots
    this.#strippedTypes = deps.strippedTypes
  }

  /**
   * Invites the user. Throws M_FORBIDDEN where the room or the user's server refuses, M_UNSUPPORTED_ROOM_VERSION where that does not
   * speak the room's version, 502 M_UNKNOWN where it cannot be reached.
   */
  async invite(invite: RemoteInvite): Promise<EventId> {
    const { roomId, sender, userId, content } = invite
    const intent: EventIntent = { type: 'm.room.member', sender, stateKey: userId, content: { ...content, membership: 'invite' } }
    for (let attempt = 1; ; attempt++) {
      const built = await this.#writer.draftEvent({ roomId, intent })
      const signed = await this.#getSigned(built, userId)
      const [result] = await this.#writer.appendForeign({ roomId, events: [signed] })
      if (result === 'accepted' || result === 'known') return built.event.eventId
      if (typeof result === 'string' || attempt >= ATTEMPTS_MAX)
        throw new MatrixError('M_FORBIDDEN', 'The room does not allow the invite any more')
    }
  }

  async #getSigned(built: BuiltEvent, userId: UserId): Promise<ForeignEvent> {
    const server = serverNameOf(userId)
    assert(server, 'user ids hold a server name')
    const roomVersion = getRoomVersion(built.event.roomVersion)
    assert(roomVersion, 'only rooms of known versions are stored')
    const state = await this.#getShownState(built)
    return tryServers([server], { what: 'invite the user', failover: [] }, async () =>
      this.#readSigned(server, roomVersion, built, await this.#send(server, roomVersion, built, state)),
    )
  }

  async #send(server: ServerName, roomVersion: RoomVersion, built: BuiltEvent, state: JsonObject[]): Promise<unknown> {
    const event = JSON.parse(built.json) as JsonObject
    const put = (version: 'v1' | 'v2', body: JsonObject): Promise<unknown> =>
      this.#client.request({
        destination: server,
        method: 'PUT',
        path: `/_matrix/federation/${version}/invite/${encodeURIComponent(built.event.roomId)}/${encodeURIComponent(built.event.eventId)}`,
        body,
        timeoutMs: INVITE_TIMEOUT_MS,
        isBackoffIgnored: true,
      })
    try {
      return await put('v2', { event, room_version: roomVersion.id, invite_room_state: state })
    } catch (error) {
      if (!isUnknownEndpoint(error)) throw error
      if (roomVersion.id !== '1' && roomVersion.id !== '2') {
        throw new MatrixError('M_UNSUPPORTED_ROOM_VERSION', "User's homeserver does not support this room version", {
          cause: error,
        })
      }
      const answer = await put('v1', { ...event, unsigned: { invite_room_state: state } })
      return Array.isArray(answer) ? (answer as unknown[])[1] : undefined
    }
  }

  /** Our event with the other server's signature, which is all that we take of its answer. */
  async #readSigned(server: ServerName, roomVersion: RoomVersion, built: BuiltEvent, answer: unknown): Promise<ForeignEvent> {
    const event = isJsonObject(answer) ? answer['event'] : undefined
    const signatures = isJsonObject(event) ? event['signatures'] : undefined
    const signature = isJsonObject(signatures) ? signatures[server] : undefined
    if (!isJsonObject(signature)) throw new BadAnswerError(server, 'answered the invite without its signature')
    const { pdu, eventId, roomId } = built.event
    const signed = { ...pdu, signatures: { ...pdu.signatures, [server]: signature } } as unknown as JsonObject
    const validAtTsMs = roomVersion.enforcesSigningKeyValidity ? pdu.origin_server_ts : 0
    const redacted = redactEvent(roomVersion, signed as unknown as Pdu) as unknown as JsonObject
    try {
      await this.#keyRing.verifyJson(server, redacted, { validAtTsMs, isLive: true })
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error
      throw new BadAnswerError(server, `signed the invite wrongly: ${error.message}`, { cause: error })
    }
    return { event: eventFromStoredPdu(signed as unknown as Pdu, eventId, roomId, roomVersion), json: canonicalJson(signed) }
  }

  /** The state that tells the invited user what they are invited to, as whole events. Spec: server-server-api invites-v2.yaml. */
  async #getShownState(built: BuiltEvent): Promise<JsonObject[]> {
    const slots = [
      ...this.#strippedTypes.map((type) => ({ type, stateKey: '' })),
      { type: 'm.room.member', stateKey: built.event.sender as string },
    ]
    const lookup = await this.#slots.get(built.event.roomId, slots)
    return slots.flatMap(({ type, stateKey }) => {
      const event = lookup(type, stateKey)
      return event ? [event.pdu as unknown as JsonObject] : []
    })
  }
}
