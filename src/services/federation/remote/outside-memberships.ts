import { MatrixError } from '../../../protocol/errors.ts'
import { buildEvent } from '../../../protocol/events/event-builder.ts'
import type { BuiltEvent } from '../../../protocol/events/event-builder.ts'
import { DEPTH_MAX } from '../../../protocol/events/event-limits.ts'
import { computeReferenceHash } from '../../../protocol/hashes.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../../protocol/json.ts'
import { getRoomVersion } from '../../../protocol/room-versions/room-versions.ts'
import type { SigningKey } from '../../../protocol/signing-key.ts'
import { assert } from '../../../util/assert.ts'
import type { Clock } from '../../../util/clock.ts'
import type { Logger } from '../../../util/logger.ts'
import type { Random } from '../../../util/random.ts'
import type { EventReader } from '../../events/event-reader.ts'
import type { MembershipHandshake } from './membership-handshake.ts'
import type { RemoteRoomsWriter } from './remote-rooms-writer.ts'
import { tryServers } from './try-servers.ts'

/** How long a user waits for other servers to hear that they do not come. */
const LEAVE_MS = 25_000
const EVENT_ID_LETTERS = 18
const STRIPPED_EVENTS_MAX = 100

/** A change of a user's place in a room that nobody here is joined to. */
export interface OutsideChange {
  readonly roomId: RoomId
  readonly userId: UserId
  readonly servers: readonly ServerName[]
  readonly content: JsonObject
}

/**
 * Knocks on rooms of other servers, rejects invites to them, and takes knocks back. Spec: server-server-api § Knocking upon a room,
 * § Leaving Rooms (Rejecting Invites).
 */
export class OutsideMemberships {
  readonly #deps: {
    readonly handshake: MembershipHandshake
    readonly writer: RemoteRoomsWriter
    readonly events: EventReader
    readonly clock: Clock
    readonly random: Random
    readonly serverName: ServerName
    readonly signingKey: SigningKey
    readonly logger: Logger
  }

  constructor(deps: {
    handshake: MembershipHandshake
    writer: RemoteRoomsWriter
    events: EventReader
    clock: Clock
    random: Random
    serverName: ServerName
    signingKey: SigningKey
    logger: Logger
  }) {
    this.#deps = deps
  }

  /** Knocks by way of a server in the room. Throws what the servers refuse it with, 502 M_UNKNOWN. */
  async knock(change: OutsideChange): Promise<EventId> {
    const { handshake, writer } = this.#deps
    const { roomId, userId, servers, content } = change
    return tryServers(servers, { what: 'knock on the room', failover: ['M_NOT_FOUND'] }, async (server, { isBackoffIgnored }) => {
      const asking = { isBackoffIgnored }
      const { roomVersion, built } = await handshake.prepare(server, { roomId, userId, membership: 'knock', content }, asking)
      if (!roomVersion.hasKnock) throw new MatrixError('M_FORBIDDEN', 'Nobody can knock on rooms of this version')
      const answer = await handshake.send(server, 'knock', built, asking)
      const strippedState = toStrippedState(answer['knock_room_state'] ?? answer['knock_state_events'] ?? [])
      await writer.setOutsideMembership({ roomId, roomVersion: roomVersion.id, event: built, strippedState })
      return built.event.eventId
    })
  }

  /**
   * Leaves a room that the user was invited to, or knocked on. Where no server takes it, the user is out all the same: nobody may be kept
   * in a room because its servers are gone. Returns the event that says so.
   */
  async leave(change: OutsideChange & { readonly formerEventId: EventId }): Promise<EventId> {
    const { handshake, writer, clock, logger } = this.#deps
    const { roomId, userId, servers, content } = change
    const overAtMs = clock.monotonicMs() + LEAVE_MS
    let left: { readonly built: BuiltEvent; readonly roomVersion: string } | undefined
    try {
      left = await tryServers(
        servers,
        { what: 'leave the room', failover: ['M_NOT_FOUND', 'M_FORBIDDEN'], isOver: () => clock.monotonicMs() > overAtMs },
        async (server) => {
          const asking = { isBackoffIgnored: true }
          const { roomVersion, built } = await handshake.prepare(server, { roomId, userId, membership: 'leave', content }, asking)
          await handshake.send(server, 'leave', built, asking)
          return { built, roomVersion: roomVersion.id }
        },
      )
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error
      logger.info('no server of the room was told that a user left', { room: roomId, user: userId, error })
      left = await this.#buildOwnLeave(change)
    }
    const { built, roomVersion } = left
    await writer.setOutsideMembership({ roomId, roomVersion: roomVersion as never, event: built })
    return built.event.eventId
  }

  /** A leave that only we know of: it follows the invite or knock directly. Behaviour of Synapse. */
  async #buildOwnLeave(change: OutsideChange & { readonly formerEventId: EventId }) {
    const { events, clock, random, serverName, signingKey } = this.#deps
    const { roomId, userId, content, formerEventId } = change
    const former = (await events.getEvent(formerEventId))?.event
    assert(former, "the event of the user's place is stored")
    const roomVersion = getRoomVersion(former.roomVersion)
    assert(roomVersion, 'only events of known room versions are stored')
    const built = buildEvent(
      {
        type: 'm.room.member',
        sender: userId,
        stateKey: userId,
        content: { ...content, membership: 'leave' },
        roomId,
        depth: Math.min(former.depth + 1, DEPTH_MAX),
        originServerTs: clock.nowMs(),
        prevEvents: [formerEventId],
        authEvents: [formerEventId],
        ...(roomVersion.eventIdFormat === 1 && {
          eventId: `$${random.letters(EVENT_ID_LETTERS)}:${serverName}` as EventId,
          referenceHashes: new Map([[formerEventId, computeReferenceHash(roomVersion, former.pdu)]]),
        }),
      },
      { roomVersion, serverName, signingKey },
    )
    return { built, roomVersion: roomVersion.id }
  }
}

/** What a server shows of a room from outside, in stripped form, whichever form it came in. Spec: client-server-api § Stripped state. */
export function toStrippedState(list: JsonValue): JsonObject[] {
  if (!Array.isArray(list)) return []
  return (list as readonly JsonValue[]).slice(0, STRIPPED_EVENTS_MAX).flatMap((entry) => {
    if (!isJsonObject(entry)) return []
    const { type, sender, state_key: stateKey, content } = entry
    if (typeof type !== 'string' || typeof sender !== 'string' || typeof stateKey !== 'string' || !isJsonObject(content))
      return []
    return [{ type, sender, state_key: stateKey, content }]
  })
}
