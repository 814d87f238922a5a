import { MatrixError, invalidParam } from '../../protocol/errors.ts'
import type { RoomId, ServerName, UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { getSpaceChildren } from '../../storage/tables/room-reads.ts'
import { stateRecordToEvent } from '../events/state-records.ts'
import { compareChildren, readRemoteChildren, readSpaceChild } from './space-children.ts'
import type { SpaceChild } from './space-children.ts'
import type { RoomPreviews, RoomSummary } from './summary.ts'

/** Rooms of one tree that are looked at. */
const TREE_ROOMS_MAX = 2000
const DEPTH_MAX = 20
/** Children of a space that another server gets at once. */
const SERVER_CHILDREN_MAX = 200
/** Rooms of one tree that other servers are asked for, and how many at once. */
const REMOTE_ROOMS_MAX = 100
const REMOTE_AT_ONCE = 10

export interface HierarchyRequest {
  readonly roomId: RoomId
  readonly isSuggestedOnly: boolean
  readonly maxDepth: number | undefined
  readonly limit: number
  readonly from: string | undefined
  /** Whoever asks may know of every room; other servers are not asked. */
  readonly isAdmin?: boolean
}

export interface HierarchyPage {
  /** JSON texts. */
  readonly rooms: readonly string[]
  readonly nextBatch: string | undefined
}

interface Space {
  readonly summary: RoomSummary
  readonly children: readonly SpaceChild[]
}

/** A room to look at: who may know it, and what the server of its space told of it. */
interface Place {
  readonly roomId: RoomId
  readonly via: readonly ServerName[]
  readonly told: JsonObject | undefined
}

/** What other servers tell of rooms that nobody here is in. */
interface RemoteLevels {
  getLevel(
    roomId: RoomId,
    options: { readonly via: readonly ServerName[]; readonly isSuggestedOnly: boolean },
  ): Promise<{ readonly room: JsonObject; readonly children: ReadonlyMap<RoomId, JsonObject> } | undefined>
}

/**
 * Walks spaces. A tree is read level by level, in a few queries for each, other servers asked for what we know nothing of, and shown depth first; a page's token says how far
 * the walk went, so that any process can go on with it. Spec: client-server-api § Spaces, space_hierarchy.yaml.
 */
export class SpaceHierarchies {
  readonly #database: Database
  readonly #previews: RoomPreviews
  readonly #remote: RemoteLevels

  constructor(deps: { database: Database; previews: RoomPreviews; remote: RemoteLevels }) {
    this.#database = deps.database
    this.#previews = deps.previews
    this.#remote = deps.remote
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
      children.map((child) => child.roomId),
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
    const isAdmin = request.isAdmin ?? false
    const asking = { userId, isSuggestedOnly: request.isSuggestedOnly, isAdmin, remoteLeft: isAdmin ? 0 : REMOTE_ROOMS_MAX }
    let level: Place[] = [{ roomId: request.roomId, via: [], told: undefined }]
    for (let depth = 0; depth <= Math.min(request.maxDepth ?? DEPTH_MAX, DEPTH_MAX) && level.length > 0; depth++) {
      const local = await this.#readLocal(level, asking)
      const remote = await this.#readRemote(level, local, asking)
      const next: Place[] = []
      for (const { roomId } of level) {
        const space = local.get(roomId) ?? remote.get(roomId)
        if (!space) continue
        tree.set(roomId, space)
        for (const child of space.children) {
          if (seen.has(child.roomId) || seen.size >= TREE_ROOMS_MAX) continue
          seen.add(child.roomId)
          next.push({ roomId: child.roomId, via: child.via, told: remote.get(roomId)?.told.get(child.roomId) })
        }
      }
      level = next
    }
    return tree
  }

  async #readLocal(
    level: readonly Place[],
    asking: { userId: UserId; isSuggestedOnly: boolean; isAdmin: boolean },
  ): Promise<Map<RoomId, Space>> {
    const roomIds = level.map(({ roomId }) => roomId)
    const summaries = asking.isAdmin
      ? await this.#previews.getAll(roomIds)
      : await this.#previews.getVisible(roomIds, asking.userId)
    const spaces = [...summaries].flatMap(([roomId, summary]) => (summary.room_type === 'm.space' ? [roomId] : []))
    const children = await this.#readChildren(spaces, asking.isSuggestedOnly)
    return new Map(Array.from(summaries, ([roomId, summary]) => [roomId, { summary, children: children.get(roomId) ?? [] }]))
  }

  /** Asks other servers for the rooms that we know nothing of. What their space's server told of rooms that are no spaces is enough. */
  async #readRemote(
    level: readonly Place[],
    local: ReadonlyMap<RoomId, Space>,
    asking: { readonly userId: UserId; readonly isSuggestedOnly: boolean; remoteLeft: number },
  ): Promise<Map<RoomId, Space & { readonly told: ReadonlyMap<RoomId, JsonObject> }>> {
    const { userId, isSuggestedOnly } = asking
    const known = await this.#previews.getKnown(level.map(({ roomId }) => roomId))
    const places = level.filter(({ roomId }) => !local.has(roomId) && !known.has(roomId))
    const found = new Map<RoomId, { room: JsonObject; told: ReadonlyMap<RoomId, JsonObject> }>()
    const unasked: Place[] = []
    for (const place of places) {
      if (place.told && place.told['room_type'] !== 'm.space') found.set(place.roomId, { room: place.told, told: new Map() })
      else if (place.via.length > 0) unasked.push(place)
    }
    const asked = unasked.slice(0, asking.remoteLeft)
    asking.remoteLeft -= asked.length
    for (let start = 0; start < asked.length; start += REMOTE_AT_ONCE) {
      const some = asked.slice(start, start + REMOTE_AT_ONCE).map(async ({ roomId, via }) => {
        const answer = await this.#remote.getLevel(roomId, { via, isSuggestedOnly })
        if (answer) found.set(roomId, { room: answer.room, told: answer.children })
      })
      await Promise.all(some)
    }
    const visible = await this.#previews.getVisibleOfRemote(
      Array.from(found.values(), ({ room }) => room),
      userId,
    )
    return new Map(
      Array.from(visible, ([roomId, summary]) => {
        const { room = {}, told = new Map<RoomId, JsonObject>() } = found.get(roomId) ?? {}
        const children = readRemoteChildren(room).filter((child) => !isSuggestedOnly || child.isSuggested)
        return [roomId, { summary, children, told }] as const
      }),
    )
  }

  async #readChildren(spaces: readonly RoomId[], isSuggestedOnly: boolean): Promise<Map<RoomId, SpaceChild[]>> {
    const children = new Map<RoomId, SpaceChild[]>()
    if (spaces.length === 0) return children
    for (const event of (await getSpaceChildren(this.#database, spaces)).map(stateRecordToEvent)) {
      const child = readSpaceChild(event)
      if (child === undefined || (isSuggestedOnly && !child.isSuggested)) continue
      const siblings = children.get(event.roomId)
      if (siblings) siblings.push(child)
      else children.set(event.roomId, [child])
    }
    for (const siblings of children.values()) siblings.sort(compareChildren)
    return children
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
    for (const child of space.children.toReversed()) stack.push({ roomId: child.roomId, depth: top.depth + 1 })
  }
  return order
}

function writeSpace({ summary, children }: Space): string {
  return `${JSON.stringify(summary).slice(0, -1)},"children_state":[${children.map(({ text }) => text).join(',')}]}`
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
