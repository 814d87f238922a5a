import { setTimeout as sleep } from 'node:timers/promises'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import type { RoomId } from '../../protocol/ids.ts'
import type { RoomVersionId } from '../../protocol/room-versions/room-version.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { defineRpc } from '../../replication/rpc.ts'
import type { RpcCaller } from '../../replication/rpc-client.ts'
import type { RpcServer } from '../../replication/rpc-server.ts'
import type { AppendedEvent, EventIntent, EventsWriter } from '../../services/events/event-intent.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { Random } from '../../util/random.ts'

/** As long as a client waits at the most. */
const DEADLINE_MS = 30_000
/** How long the caller waits for the frame of its own event before it reads the stream itself. */
const FRAME_WAIT_MS = 30
/** The `device` of events whose sender gave no transaction id; see `withTransaction`. */
const OWN_DEVICE = '~replication'

interface PersistRequest {
  /** The room, or nothing for a new one. */
  readonly roomId?: RoomId
  /** Of a new room. */
  readonly roomVersion?: RoomVersionId
  readonly intents: readonly EventIntent[]
}

interface PersistResponse {
  readonly roomId: RoomId
  readonly events: readonly { readonly eventId: AppendedEvent['eventId']; readonly position?: StreamPosition }[]
}

/**
 * Appends events in the process that owns the room. Repeated safely: a single event is known by its transaction id, which is
 * unique in the database; what has several is not sent twice unless it certainly did not arrive.
 */
const PERSIST_EVENT = defineRpc<PersistRequest, PersistResponse>({
  name: 'events.persist_one',
  deadlineMs: DEADLINE_MS,
  retry: 'other',
  isIdempotent: true,
})
const PERSIST_EVENTS = defineRpc<PersistRequest, PersistResponse>({
  name: 'events.persist',
  deadlineMs: DEADLINE_MS,
  retry: 'other',
})

/** Serves the calls of other processes with this process's persister. */
export function servePersistEvents(server: RpcServer, persister: EventsWriter): void {
  const handler = async (request: PersistRequest): Promise<PersistResponse> => {
    const { roomId, roomVersion, intents } = request
    if (roomId !== undefined) return { roomId, events: (await persister.append({ roomId, intents })).map(toWire) }
    if (roomVersion === undefined || !getRoomVersion(roomVersion))
      throw new MatrixError('M_UNSUPPORTED_ROOM_VERSION', 'The room version is not supported')
    const created = await persister.createRoom({ roomVersion, intents })
    return { roomId: created.roomId, events: created.events.map(toWire) }
  }
  server.handle(PERSIST_EVENT, handler)
  server.handle(PERSIST_EVENTS, handler)
}

function toWire({ eventId, position }: AppendedEvent): PersistResponse['events'][number] {
  return position === undefined ? { eventId } : { eventId, position }
}

/** Who owns a room, as this process sees the members now. */
export interface RoomOwners {
  /** The owner's instance name; another one for a new room each time. */
  ownerOf(roomId: RoomId | undefined): string
}

/** Appends events in this process where it owns the room, and in the owner's process otherwise. */
export class RoutedEventsWriter implements EventsWriter {
  readonly #deps: {
    readonly self: string
    readonly local: EventsWriter
    readonly owners: RoomOwners
    readonly rpc: RpcCaller
    readonly hub: StreamHub
    readonly random: Random
  }

  constructor(deps: { self: string; local: EventsWriter; owners: RoomOwners; rpc: RpcCaller; hub: StreamHub; random: Random }) {
    this.#deps = deps
  }

  async append(request: {
    readonly roomId: RoomId
    readonly intents: readonly EventIntent[]
  }): Promise<readonly AppendedEvent[]> {
    const { self, local, owners } = this.#deps
    if (owners.ownerOf(request.roomId) === self) return local.append(request)
    return (await this.#call(request)).events
  }

  async createRoom(request: {
    readonly roomVersion: RoomVersionId
    readonly intents: readonly EventIntent[]
  }): Promise<{ readonly roomId: RoomId; readonly events: readonly AppendedEvent[] }> {
    const { self, local, owners } = this.#deps
    if (owners.ownerOf(undefined) === self) return local.createRoom(request)
    return this.#call(request)
  }

  async #call(request: PersistRequest): Promise<{ roomId: RoomId; events: readonly AppendedEvent[] }> {
    const { owners, rpc } = this.#deps
    const pickTarget = (): string => owners.ownerOf(request.roomId)
    const [intent, ...others] = request.intents
    const isSingle = request.roomId !== undefined && intent !== undefined && others.length === 0
    const { roomId, events } = isSingle
      ? await rpc.call(PERSIST_EVENT, pickTarget(), { ...request, intents: [this.#withTransaction(intent)] }, { pickTarget })
      : await rpc.call(PERSIST_EVENTS, pickTarget(), request, { pickTarget })
    await this.#reach(Math.max(0, ...events.map(({ position }) => position ?? 0)))
    return { roomId, events: events.map(({ eventId, position }) => ({ eventId, position })) }
  }

  /** An event that must not be stored twice when the call is repeated needs something to know it by. */
  #withTransaction(intent: EventIntent): EventIntent {
    if (intent.transaction) return intent
    return { ...intent, transaction: { device: OWN_DEVICE, id: this.#deps.random.letters(24), scope: intent.type } }
  }

  /** The requester's next request to this process must see its event. */
  async #reach(position: number): Promise<void> {
    const { hub } = this.#deps
    if (hub.head('events') >= position) return
    const over = new AbortController()
    await Promise.race([
      hub.reached('events', 0, position),
      sleep(FRAME_WAIT_MS, undefined, { signal: over.signal }).catch(() => undefined),
    ])
    over.abort()
    // Committed, so the position is final.
    await hub.catchUp('events', 0, position)
  }
}
