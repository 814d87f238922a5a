import { buildEvent } from '../../../protocol/events/event-builder.ts'
import type { BuiltEvent } from '../../../protocol/events/event-builder.ts'
import { AUTH_EVENTS_MAX, DEPTH_MAX, PREV_EVENTS_MAX } from '../../../protocol/events/event-limits.ts'
import { isValidUserId } from '../../../protocol/ids.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../../protocol/json.ts'
import { MatrixError } from '../../../protocol/errors.ts'
import type { RoomVersion } from '../../../protocol/room-versions/room-version.ts'
import { getRoomVersion, ROOM_VERSIONS } from '../../../protocol/room-versions/room-versions.ts'
import type { SigningKey } from '../../../protocol/signing-key.ts'
import type { Clock } from '../../../util/clock.ts'
import type { Random } from '../../../util/random.ts'
import type { FederationClient } from '../federation-client.ts'
import { FederationRequestError } from '../federation-errors.ts'
import { BadAnswerError } from './try-servers.ts'

const PREPARE_TIMEOUT_MS = 20_000
const EVENT_ID_LETTERS = 18
const HASH_CHARACTERS_MAX = 100

/** A membership that one of our users wants in a room that we are not in. */
export interface RemoteMembership {
  readonly roomId: RoomId
  readonly userId: UserId
  readonly membership: 'join' | 'leave' | 'knock'
  /** What else the event says: the profile, a reason. */
  readonly content: JsonObject
}

/** How a server is asked. */
export interface Asking {
  readonly isBackoffIgnored: boolean
}

/** The event that we signed, for the server that prepared it. */
export interface PreparedMembership {
  readonly roomVersion: RoomVersion
  readonly built: BuiltEvent
}

/**
 * Builds membership events for rooms that only other servers know. Of what a server prepares we take the room version, the place in the
 * room's graph, and who authorises a join: the rest is ours, so nobody gets our signature under anything else.
 * Spec: server-server-api § Joining Rooms, § Knocking upon a room, § Leaving Rooms (Rejecting Invites).
 */
export class MembershipHandshake {
  readonly #client: FederationClient
  readonly #clock: Clock
  readonly #random: Random
  readonly #serverName: ServerName
  readonly #signingKey: SigningKey

  constructor(deps: { client: FederationClient; clock: Clock; random: Random; serverName: ServerName; signingKey: SigningKey }) {
    this.#client = deps.client
    this.#clock = deps.clock
    this.#random = deps.random
    this.#serverName = deps.serverName
    this.#signingKey = deps.signingKey
  }

  /** Asks the server to prepare the event, and signs it. Throws FederationRequestError, BadAnswerError, M_UNSUPPORTED_ROOM_VERSION. */
  async prepare(server: ServerName, request: RemoteMembership, asking: Asking): Promise<PreparedMembership> {
    const { roomId, userId, membership } = request
    const versions = membership === 'leave' ? '' : `?${ROOM_VERSIONS.map(({ id }) => `ver=${id}`).join('&')}`
    const answer = await this.#client.request({
      destination: server,
      method: 'GET',
      path: `/_matrix/federation/v1/make_${membership}/${encodeURIComponent(roomId)}/${encodeURIComponent(userId)}${versions}`,
      timeoutMs: PREPARE_TIMEOUT_MS,
      retries: 'none',
      ...asking,
    })
    const template = isJsonObject(answer) ? answer['event'] : undefined
    if (!isJsonObject(answer) || !isJsonObject(template)) throw new BadAnswerError(server, 'prepared no event')
    // A server that does not say speaks version 1 or 2, whose events look alike. Spec: joins-v1.yaml.
    const versionId = answer['room_version'] ?? '1'
    const roomVersion = typeof versionId === 'string' ? getRoomVersion(versionId) : undefined
    if (!roomVersion)
      throw new MatrixError('M_UNSUPPORTED_ROOM_VERSION', 'Your homeserver does not support the version of this room')
    return { roomVersion, built: this.#build(server, roomVersion, template, request) }
  }

  #build(server: ServerName, roomVersion: RoomVersion, template: JsonObject, request: RemoteMembership): BuiltEvent {
    const { roomId, userId, membership } = request
    const hashes = new Map<EventId, string>()
    const prevEvents = readReferences(template['prev_events'], { roomVersion, countMax: PREV_EVENTS_MAX, hashes })
    const authEvents = readReferences(template['auth_events'], { roomVersion, countMax: AUTH_EVENTS_MAX, hashes })
    const { depth } = template
    if (
      !prevEvents ||
      !authEvents ||
      prevEvents.length === 0 ||
      typeof depth !== 'number' ||
      !Number.isInteger(depth) ||
      depth < 1
    )
      throw new BadAnswerError(server, 'prepared a malformed event')
    const { join_authorised_via_users_server: _given, ...content } = request.content
    return buildEvent(
      {
        type: 'm.room.member',
        sender: userId,
        stateKey: userId,
        content: { ...content, ...authoriserOf(roomVersion, template, request), membership },
        roomId,
        depth: Math.min(depth, DEPTH_MAX),
        originServerTs: this.#clock.nowMs(),
        prevEvents,
        authEvents,
        ...(roomVersion.eventIdFormat === 1 && {
          eventId: `$${this.#random.letters(EVENT_ID_LETTERS)}:${this.#serverName}` as EventId,
          referenceHashes: hashes,
        }),
      },
      { roomVersion, serverName: this.#serverName, signingKey: this.#signingKey },
    )
  }

  /**
   * Sends a leave or a knock to the server, by the old endpoint too where it does not know the new one. Returns the body of its answer.
   * Throws FederationRequestError.
   */
  async send(server: ServerName, membership: 'leave' | 'knock', event: BuiltEvent, asking: Asking): Promise<JsonObject> {
    const path = `/${encodeURIComponent(event.event.roomId)}/${encodeURIComponent(event.event.eventId)}`
    const put = (endpoint: string): Promise<unknown> =>
      this.#client.request({
        destination: server,
        method: 'PUT',
        path: `/_matrix/federation/${endpoint}${path}`,
        body: JSON.parse(event.json) as JsonObject,
        timeoutMs: PREPARE_TIMEOUT_MS,
        ...asking,
      })
    if (membership === 'knock') return objectOf(await put('v1/send_knock'))
    try {
      return objectOf(await put('v2/send_leave'))
    } catch (error) {
      if (!isUnknownEndpoint(error)) throw error
      const answer = await put('v1/send_leave')
      return objectOf(Array.isArray(answer) ? answer[1] : undefined)
    }
  }
}

/** Tells whether the server does not know the endpoint at all, as old servers answer for the second versions of endpoints. */
export function isUnknownEndpoint(error: unknown): boolean {
  if (!(error instanceof FederationRequestError)) return false
  const { status, errcode } = error
  if (status === 404 || status === 400) return errcode === undefined || errcode === 'M_UNRECOGNIZED'
  return status === 405
}

/** Who lets the user into a restricted room: the server that prepared the join knows. Spec: server-server-api § Restricted rooms. */
function authoriserOf(roomVersion: RoomVersion, template: JsonObject, request: RemoteMembership): JsonObject {
  const content = template['content']
  if (request.membership !== 'join' || !roomVersion.hasRestrictedJoin || !isJsonObject(content)) return {}
  const authoriser = content['join_authorised_via_users_server']
  return isValidUserId(authoriser) ? { join_authorised_via_users_server: authoriser } : {}
}

function readReferences(
  list: JsonValue | undefined,
  options: { readonly roomVersion: RoomVersion; readonly countMax: number; readonly hashes: Map<EventId, string> },
): EventId[] | undefined {
  const { roomVersion, countMax, hashes } = options
  if (!Array.isArray(list) || list.length > countMax) return undefined
  const eventIds: EventId[] = []
  for (const entry of list as readonly JsonValue[]) {
    let eventId = entry
    if (roomVersion.eventIdFormat === 1) {
      const pair = Array.isArray(entry) ? (entry as readonly JsonValue[]) : []
      eventId = pair[0] as JsonValue
      const sha256 = isJsonObject(pair[1]) ? pair[1]['sha256'] : undefined
      if (typeof eventId !== 'string' || typeof sha256 !== 'string' || sha256.length > HASH_CHARACTERS_MAX) return undefined
      hashes.set(eventId as EventId, sha256)
    }
    if (typeof eventId !== 'string' || eventId[0] !== '$' || Buffer.byteLength(eventId) > 255) return undefined
    eventIds.push(eventId as EventId)
  }
  return eventIds
}

function objectOf(value: unknown): JsonObject {
  return isJsonObject(value) ? value : {}
}
