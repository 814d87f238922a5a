import { canonicalJson } from '../../protocol/canonical-json.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { toStrippedEventJson } from '../../protocol/events/client-event.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import { parseServerName } from '../../protocol/ids.ts'
import type { RoomId, ServerName } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'

/** Of more servers the rest is not asked. */
const VIA_MAX = 10
/** Rooms that another server may say a space has. */
const REMOTE_CHILDREN_MAX = 500
/** Spec: m.space.child, `order`. */
const ORDER = /^[\x20-\x7e]{1,50}$/

/** A room that a space has. */
export interface SpaceChild {
  readonly roomId: RoomId
  /** Servers that are said to be in it. */
  readonly via: readonly ServerName[]
  readonly order: string | undefined
  readonly originServerTs: number
  readonly isSuggested: boolean
  /** The stripped `m.space.child`, as JSON text. */
  readonly text: string
}

/** Reads an `m.space.child` event; undefined where it names no server to find the room by, which takes the room away. Spec: m.space.child. */
export function readSpaceChild(event: MatrixEvent): SpaceChild | undefined {
  const stripped = `${toStrippedEventJson(event).slice(0, -1)},"origin_server_ts":${event.originServerTs}}`
  return readChild({ stateKey: event.stateKey, content: event.content, originServerTs: event.originServerTs }, stripped)
}

/** Reads the rooms that a space has as another server tells of it, in their order. */
export function readRemoteChildren(room: JsonObject): SpaceChild[] {
  const events = Array.isArray(room['children_state']) ? (room['children_state'] as readonly JsonValue[]) : []
  const children = events.slice(0, REMOTE_CHILDREN_MAX).flatMap((event) => {
    if (!isJsonObject(event)) return []
    const { type, sender, state_key: stateKey, content, origin_server_ts: originServerTs } = event
    if (type !== 'm.space.child' || typeof sender !== 'string' || typeof originServerTs !== 'number') return []
    if (typeof stateKey !== 'string' || !isJsonObject(content)) return []
    const text = canonicalJson({ type, sender, state_key: stateKey, content, origin_server_ts: originServerTs })
    return readChild({ stateKey, content, originServerTs }, text) ?? []
  })
  return children.sort(compareChildren)
}

function readChild(
  event: { readonly stateKey: string | undefined; readonly content: JsonObject; readonly originServerTs: number },
  text: string,
): SpaceChild | undefined {
  const { via, order, suggested } = event.content
  if (!Array.isArray(via) || via.length === 0 || event.stateKey?.startsWith('!') !== true) return undefined
  return {
    roomId: event.stateKey as RoomId,
    via: (via as readonly JsonValue[]).slice(0, VIA_MAX).flatMap(readServer),
    order: typeof order === 'string' && ORDER.test(order) ? order : undefined,
    originServerTs: event.originServerTs,
    isSuggested: suggested === true,
    text,
  }
}

function readServer(value: JsonValue): ServerName[] {
  if (typeof value !== 'string') return []
  try {
    return [parseServerName(value)]
  } catch (error) {
    if (error instanceof MatrixError) return []
    throw error
  }
}

/** Those with an order first, then by age, then by room id. Spec: client-server-api § Ordering of children within a space. */
export function compareChildren(one: SpaceChild, other: SpaceChild): number {
  if (one.order !== other.order) {
    if (one.order === undefined) return 1
    if (other.order === undefined) return -1
    return one.order < other.order ? -1 : 1
  }
  if (one.originServerTs !== other.originServerTs) return one.originServerTs - other.originServerTs
  return one.roomId < other.roomId ? -1 : 1
}
