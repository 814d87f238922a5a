import { MatrixError, invalidParam } from '../../protocol/errors.ts'
import { toStrippedEventJson } from '../../protocol/events/client-event.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getSpaceChildren } from '../../storage/tables/room-reads.ts'
import { stateRecordToEvent } from '../events/state-records.ts'
import type { RoomPreviews, RoomSummary } from './summary.ts'

/** Rooms of one tree that are looked at. */
const TREE_ROOMS_MAX = 2000
const DEPTH_MAX = 20
/** Children of a space that another server gets at once. */
const SERVER_CHILDREN_MAX = 200
/** Spec: m.space.child, `order`. */
const ORDER = /^[\x20-\x7e]{1,50}$/

export interface HierarchyRequest {
  readonly roomId: RoomId
  readonly isSuggestedOnly: boolean
  readonly maxDepth: number | undefined
  readonly limit: number
  readonly from: string | undefined
}

export interface HierarchyPage {
  /** JSON texts. */
  readonly rooms: readonly string[]
  readonly nextBatch: string | undefined
}

interface Space {
  readonly summary: RoomSummary
  readonly children: readonly MatrixEvent[]
}

/**
 * Walks spaces. A tree is read level by level, in two queries for each, and shown depth first; a page's token says how far
 * the walk went, so that any process can go on with it. Spec: client-server-api § Spaces, space_hierarchy.yaml.
 */
export class SpaceHierarchies {
  readonly #database: Database
  readonly #previews: RoomPreviews

  constructor(deps: { database: Database; previews: RoomPreviews }) {
    this.#database = deps.database
    this.#previews = deps.previews
  }

  /** Reads a page of the tree below a room. Throws M_FORBIDDEN, M_INVALID_PARAM. */
  async getPage(userId: UserId, request: HierarchyRequest): Promise<HierarchyPage> {
    const start = request.from === undefined ? 0 : parseToken(request.from, request)
    const tree = await this.#readTree(userId, request)
    if (!tree.has(request.roomId)) throw new MatrixError('M_FORBIDDEN', 'You are not allowed to view this room')
    const order = walk(tree, request)
    const page = order.slice(start, start + request.limit)
    return {
      rooms: page.map((space) => writeSpace(space)),
      nextBatch: order.length > start + request.limit ? formatToken(start + request.limit, request) : undefined,
    }
  }

  /**
   * Reads a room and the rooms right below it as another server may see them, as JSON text. Throws M_NOT_FOUND.
   * Spec: server-server-api space_hierarchy.yaml.
   */
  async getLevelForServer(
    server: { isInOrInvited(roomId: RoomId): Promise<boolean> },
    request: { readonly roomId: RoomId; readonly isSuggestedOnly: boolean },
  ): Promise<string> {
    const { visible } = await this.#previews.getVisibleToServer([request.roomId], server)
    const summary = visible.get(request.roomId)
    if (!summary) throw new MatrixError('M_NOT_FOUND', 'Room does not exist.')
    const spaces = summary.room_type === 'm.space' ? [request.roomId] : []
    const events = (await this.#readChildren(spaces, request.isSuggestedOnly)).get(request.roomId) ?? []
    const children = events.slice(0, SERVER_CHILDREN_MAX)
    const below = await this.#previews.getVisibleToServer(
      children.map((event) => event.stateKey as RoomId),
      server,
    )
    return (
      `{"room":${writeSpace({ summary, children })},"children":${JSON.stringify([...below.visible.values()])}` +
      `,"inaccessible_children":${JSON.stringify(below.hidden)}}`
    )
  }

  /** Reads the visible rooms of the tree, level by level. */
  async #readTree(userId: UserId, request: HierarchyRequest): Promise<Map<RoomId, Space>> {
    const tree = new Map<RoomId, Space>()
    const seen = new Set<RoomId>([request.roomId])
    let level: RoomId[] = [request.roomId]
    for (let depth = 0; depth <= Math.min(request.maxDepth ?? DEPTH_MAX, DEPTH_MAX) && level.length > 0; depth++) {
      const summaries = await this.#previews.getVisible(level, userId)
      const spaces = [...summaries.values()]
        .filter((summary) => summary.room_type === 'm.space')
        .map((summary) => summary.room_id as RoomId)
      const children = await this.#readChildren(spaces, request.isSuggestedOnly)
      const next: RoomId[] = []
      for (const roomId of level) {
        const summary = summaries.get(roomId)
        if (!summary) continue
        const events = children.get(roomId) ?? []
        tree.set(roomId, { summary, children: events })
        for (const event of events) {
          const childId = event.stateKey as RoomId
          if (seen.has(childId) || seen.size >= TREE_ROOMS_MAX) continue
          seen.add(childId)
          next.push(childId)
        }
      }
      level = next
    }
    return tree
  }

  async #readChildren(spaces: readonly RoomId[], isSuggestedOnly: boolean): Promise<Map<RoomId, MatrixEvent[]>> {
    if (spaces.length === 0) return new Map()
    const events = (await getSpaceChildren(this.#database, spaces)).map(stateRecordToEvent)
    const valid = events.filter((event) => isChild(event) && (!isSuggestedOnly || event.content['suggested'] === true))
    return Map.groupBy(valid.sort(compareChildren), (event) => event.roomId)
  }
}

/** Depth first, each room once, as deep as was asked for. */
function walk(tree: ReadonlyMap<RoomId, Space>, request: HierarchyRequest): Space[] {
  const order: Space[] = []
  const seen = new Set<RoomId>()
  const depthMax = Math.min(request.maxDepth ?? DEPTH_MAX, DEPTH_MAX)
  const stack: { roomId: RoomId; depth: number }[] = [{ roomId: request.roomId, depth: 0 }]
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    const space = tree.get(top.roomId)
    if (!space || seen.has(top.roomId)) continue
    seen.add(top.roomId)
    order.push(space)
    if (top.depth >= depthMax) continue
    for (const event of space.children.toReversed()) stack.push({ roomId: event.stateKey as RoomId, depth: top.depth + 1 })
  }
  return order
}

function writeSpace({ summary, children }: Space): string {
  const texts = children.map((event) => `${toStrippedEventJson(event).slice(0, -1)},"origin_server_ts":${event.originServerTs}}`)
  return `${JSON.stringify(summary).slice(0, -1)},"children_state":[${texts.join(',')}]}`
}

/** A child without a server to find it by does not count. Spec: m.space.child. */
function isChild(event: MatrixEvent): boolean {
  const via = event.content['via']
  return Array.isArray(via) && via.length > 0 && event.stateKey?.startsWith('!') === true
}

/** Those with an order first, then by age, then by room id. Spec: client-server-api § Ordering of children within a space. */
function compareChildren(one: MatrixEvent, other: MatrixEvent): number {
  const oneOrder = orderOf(one)
  const otherOrder = orderOf(other)
  if (oneOrder !== otherOrder) {
    if (oneOrder === undefined) return 1
    if (otherOrder === undefined) return -1
    return oneOrder < otherOrder ? -1 : 1
  }
  if (one.originServerTs !== other.originServerTs) return one.originServerTs - other.originServerTs
  return (one.stateKey ?? '') < (other.stateKey ?? '') ? -1 : 1
}

function orderOf(event: MatrixEvent): string | undefined {
  const order = event.content['order']
  return typeof order === 'string' && ORDER.test(order) ? order : undefined
}

function formatToken(offset: number, request: HierarchyRequest): string {
  return `h${offset}.${request.maxDepth ?? '-'}.${request.isSuggestedOnly ? 1 : 0}`
}

function parseToken(token: string, request: HierarchyRequest): number {
  const match = /^h([0-9]{1,6})\./.exec(token)
  const offset = Number(match?.[1] ?? Number.NaN)
  if (!Number.isInteger(offset)) throw invalidParam('The pagination token is malformed')
  if (formatToken(offset, request) !== token)
    throw invalidParam('suggested_only and max_depth cannot change on paginated requests')
  return offset
}
