import { MatrixError } from '../../protocol/errors.ts'
import type { BuiltEvent } from '../../protocol/events/event-builder.ts'
import type { Pdu } from '../../protocol/events/event.ts'
import { eventFromStoredPdu } from '../../protocol/events/parse-event.ts'
import type { EventId, RoomId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { RoomVersionId } from '../../protocol/room-versions/room-version.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import { defineRpc } from '../../replication/rpc.ts'
import type { RpcMethod } from '../../replication/rpc.ts'
import type { RpcCaller } from '../../replication/rpc-client.ts'
import type { RpcServer } from '../../replication/rpc-server.ts'
import type { EventIntent } from '../../services/events/event-intent.ts'
import type {
  ForeignEvent,
  ForeignEventsWriter,
  ForeignResult,
  OutlierResult,
  OutsideMembership,
  RoomImport,
} from '../../services/events/foreign-events.ts'
import type { RemoteRoomsWriter } from '../../services/federation/remote/remote-rooms-writer.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { RoomOwners } from './persist-events.ts'

const DEADLINE_MS = 60_000
/** The owner reads the state of a large room. */
const IMPORT_DEADLINE_MS = 300_000
/** Ids of a state of 500,000 events. */
const IMPORT_BYTES_MAX = 64 * 1024 * 1024

/** A finished event between our processes: it was checked where it came in. */
interface WireEvent {
  readonly eventId: EventId
  readonly json: string
  readonly isRedacted?: boolean
  readonly stateBefore?: readonly EventId[]
}

interface ForeignRequest {
  readonly roomId: RoomId
  readonly roomVersion: RoomVersionId
  readonly events: readonly WireEvent[]
  /** Of history: the event whose gap it fills. */
  readonly before?: EventId
  /** Of a room that nobody here is in: what its user is shown of it. */
  readonly strippedState?: readonly JsonObject[]
}

interface ForeignResponse {
  readonly results: readonly ForeignResult[]
  /** How far the owner's events stream is. */
  readonly head: number
}

// All of these know an event that was stored before, so they may be sent again.
const IMPORT_ROOM = defineRpc<ForeignRequest, ForeignResponse>({
  name: 'rooms.import',
  deadlineMs: IMPORT_DEADLINE_MS,
  retry: 'other',
  isIdempotent: true,
  requestBytesMax: IMPORT_BYTES_MAX,
})
const APPEND_FOREIGN = defineForeign('rooms.append_foreign')
const APPEND_HISTORY = defineForeign('rooms.append_history')
const SET_OUTSIDE = defineForeign('rooms.set_outside_membership')
const DRAFT_EVENT = defineRpc<
  { readonly roomId: RoomId; readonly intent: EventIntent },
  { readonly event: WireEvent; readonly roomVersion: RoomVersionId }
>({ name: 'rooms.draft_event', deadlineMs: DEADLINE_MS, retry: 'other', isIdempotent: true })

function defineForeign(name: string): RpcMethod<ForeignRequest, ForeignResponse> {
  return defineRpc<ForeignRequest, ForeignResponse>({
    name,
    deadlineMs: DEADLINE_MS,
    retry: 'other',
    isIdempotent: true,
    requestBytesMax: IMPORT_BYTES_MAX,
  })
}

/** What the owner of rooms does with the calls of other processes. */
type Owner = RemoteRoomsWriter

/** Serves the calls of other processes with this process's persister. */
export function serveRemoteRooms(server: RpcServer, owner: Owner, hub: StreamHub): void {
  const answer = (results: readonly ForeignResult[]): ForeignResponse => ({ results, head: hub.head('events') })
  server.handle(IMPORT_ROOM, async (request) => {
    const { roomId, roomVersion } = request
    return answer([await owner.importRoom({ roomId, roomVersion, stateEvents: [], authChain: [], join: onlyEvent(request) })])
  })
  server.handle(APPEND_FOREIGN, async (request) =>
    answer(await owner.appendForeign({ roomId: request.roomId, events: readEvents(request) })),
  )
  server.handle(APPEND_HISTORY, async (request) => {
    const { roomId, before } = request
    if (before === undefined) throw new MatrixError('M_BAD_JSON', 'The event whose gap is filled is missing')
    return answer(await owner.appendHistory({ roomId, before, events: readEvents(request) }))
  })
  server.handle(SET_OUTSIDE, async (request) => {
    const { roomId, roomVersion, strippedState } = request
    return answer([await owner.setOutsideMembership({ roomId, roomVersion, event: onlyEvent(request), strippedState })])
  })
  server.handle(DRAFT_EVENT, async (request) => {
    const { event, json } = await owner.draftEvent(request)
    return { event: { eventId: event.eventId, json }, roomVersion: event.roomVersion }
  })
}

/** Does what concerns a room in this process where it owns the room, and in the owner's process otherwise. */
export class RoutedRemoteRooms implements RemoteRoomsWriter {
  readonly #deps: {
    readonly self: string
    readonly local: Owner
    readonly owners: RoomOwners
    readonly rpc: RpcCaller
    readonly hub: StreamHub
  }

  constructor(deps: { self: string; local: Owner; owners: RoomOwners; rpc: RpcCaller; hub: StreamHub }) {
    this.#deps = deps
  }

  /** Needs no owner: nothing of the room changes. */
  storeOutliers(request: Parameters<ForeignEventsWriter['storeOutliers']>[0]): Promise<readonly OutlierResult[]> {
    return this.#deps.local.storeOutliers(request)
  }

  async importRoom(request: RoomImport): Promise<ForeignResult> {
    const { roomId, roomVersion, stateEvents, authChain, join } = request
    if (this.#isOwn(roomId)) return this.#deps.local.importRoom(request)
    // The room itself is stored from here; its owner is told of the join, and of the ids of the state.
    const events = [...new Map([...authChain, ...stateEvents].map((one) => [one.event.eventId, one])).values()]
    if (events.length > 0) await this.storeOutliers({ roomId, roomVersion, events })
    const stateBefore = join.stateBefore ?? stateEvents.map(({ event }) => event.eventId)
    return first(await this.#call(IMPORT_ROOM, { roomId, roomVersion, events: [toWire({ ...join, stateBefore })] }))
  }

  async appendForeign(request: Parameters<ForeignEventsWriter['appendForeign']>[0]): Promise<readonly ForeignResult[]> {
    const { roomId, events } = request
    const [event] = events
    if (!event) return []
    if (this.#isOwn(roomId)) return this.#deps.local.appendForeign(request)
    return this.#call(APPEND_FOREIGN, { roomId, roomVersion: event.event.roomVersion, events: events.map(toWire) })
  }

  async appendHistory(request: Parameters<ForeignEventsWriter['appendHistory']>[0]): Promise<readonly ForeignResult[]> {
    const { roomId, events, before } = request
    const [event] = events
    if (!event) return []
    if (this.#isOwn(roomId)) return this.#deps.local.appendHistory(request)
    return this.#call(APPEND_HISTORY, { roomId, before, roomVersion: event.event.roomVersion, events: events.map(toWire) })
  }

  async setOutsideMembership(request: OutsideMembership): Promise<ForeignResult> {
    const { roomId, roomVersion, event, strippedState } = request
    if (this.#isOwn(roomId)) return this.#deps.local.setOutsideMembership(request)
    const state = strippedState === undefined ? {} : { strippedState }
    return first(await this.#call(SET_OUTSIDE, { roomId, roomVersion, events: [toWire(event)], ...state }))
  }

  async draftEvent(request: { readonly roomId: RoomId; readonly intent: EventIntent }): Promise<BuiltEvent> {
    const { roomId } = request
    if (this.#isOwn(roomId)) return this.#deps.local.draftEvent(request)
    const pickTarget = (): string => this.#deps.owners.ownerOf(roomId)
    const answer = await this.#deps.rpc.call(DRAFT_EVENT, pickTarget(), request, { pickTarget })
    return readEvent(answer.event, answer)
  }

  #isOwn(roomId: RoomId): boolean {
    return this.#deps.owners.ownerOf(roomId) === this.#deps.self
  }

  async #call(method: RpcMethod<ForeignRequest, ForeignResponse>, request: ForeignRequest): Promise<readonly ForeignResult[]> {
    const { owners, rpc, hub } = this.#deps
    const pickTarget = (): string => owners.ownerOf(request.roomId)
    const { results, head } = await rpc.call(method, pickTarget(), request, { pickTarget })
    // The owner's head is committed, so it is final.
    await hub.catchUp('events', 0, head)
    return results
  }
}

function first(results: readonly ForeignResult[]): ForeignResult {
  return results[0] ?? 'known'
}

function toWire({ event, json, isRedacted, stateBefore }: ForeignEvent): WireEvent {
  return {
    eventId: event.eventId,
    json,
    ...(isRedacted === undefined ? {} : { isRedacted }),
    ...(stateBefore === undefined ? {} : { stateBefore }),
  }
}

function readEvents(request: ForeignRequest): ForeignEvent[] {
  return request.events.map((wire) => readEvent(wire, request))
}

function onlyEvent(request: ForeignRequest): ForeignEvent {
  const [wire] = request.events
  if (!wire) throw new MatrixError('M_BAD_JSON', 'The event is missing')
  return readEvent(wire, request)
}

function readEvent(wire: WireEvent, room: { readonly roomId?: RoomId; readonly roomVersion: RoomVersionId }): ForeignEvent {
  const roomVersion = getRoomVersion(room.roomVersion)
  if (!roomVersion) throw new MatrixError('M_UNSUPPORTED_ROOM_VERSION', 'The room version is not supported')
  const pdu = JSON.parse(wire.json) as Pdu
  const event = eventFromStoredPdu(pdu, wire.eventId, (room.roomId ?? pdu.room_id) as RoomId, roomVersion)
  return { event, json: wire.json, isRedacted: wire.isRedacted, stateBefore: wire.stateBefore }
}
