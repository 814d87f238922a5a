import { SerializedJson } from '../../../http/endpoint.ts'
import { parseEventId, parseRoomId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../../client/client-endpoint.ts'
import {
  FILTER_CHARACTERS_MAX,
  formatPageToken,
  parsePageLimit,
  parsePageToken,
  parseQueryFilter,
  TOKEN_CHARACTERS_MAX,
} from '../../client/rooms/page-parameters.ts'

const PATH = '/_synapse/admin/v1/rooms/:roomId'
const CONTEXT_EVENTS_MAX = 100
const HIERARCHY_ROOMS_MAX = 50
const params = Type.Object({ roomId: Type.String() })
const direction = Type.Union([Type.Literal('b'), Type.Literal('f')], { default: 'f' })

/** Lists who is joined to a room. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse: docs/admin_api/rooms.md. */
export const getRoomMembers = clientEndpoint({
  operationId: 'admin.getRoomMembers',
  method: 'GET',
  path: `${PATH}/members`,
  group: 'admin',
  auth: 'admin',
  params,
  async handler({ params: { roomId } }, ctx) {
    const members = await ctx.adminRooms.getMembers(parseRoomId(roomId))
    return { members, total: members.length }
  },
})

/** Reads a room's current state. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse: docs/admin_api/rooms.md. */
export const getAdminRoomState = clientEndpoint({
  operationId: 'admin.getRoomState',
  method: 'GET',
  path: `${PATH}/state`,
  group: 'admin',
  auth: 'admin',
  params,
  query: Type.Object({ type: Type.Optional(Type.String()) }),
  async handler({ params: { roomId }, query }, ctx) {
    const state = await ctx.adminRooms.getState(parseRoomId(roomId), query.type === '' ? undefined : query.type)
    return new SerializedJson(`{"state":[${state.join(',')}]}`)
  },
})

/** Reads a page of a room's history. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. As Synapse: docs/admin_api/rooms.md. */
export const getAdminRoomMessages = clientEndpoint({
  operationId: 'admin.getRoomMessages',
  method: 'GET',
  path: `${PATH}/messages`,
  group: 'admin',
  auth: 'admin',
  params,
  query: Type.Object({
    from: Type.Optional(Type.String({ maxLength: TOKEN_CHARACTERS_MAX })),
    to: Type.Optional(Type.String({ maxLength: TOKEN_CHARACTERS_MAX })),
    dir: direction,
    limit: Type.Optional(Type.Integer()),
    filter: Type.Optional(Type.String({ maxLength: FILTER_CHARACTERS_MAX })),
  }),
  async handler({ params: { roomId }, query, requester }, ctx) {
    const page = await ctx.roomMessages.getPage(ctx.roomMessages.adminOf(requester), {
      roomId: parseRoomId(roomId),
      direction: query.dir,
      from: parsePageToken(query.from),
      to: parsePageToken(query.to),
      limit: parsePageLimit(query.limit),
      filter: parseQueryFilter(query.filter),
    })
    let text = `{"chunk":[${page.chunk.join(',')}],"start":${JSON.stringify(query.from ?? formatPageToken(page.startPosition))}`
    if (page.endPosition !== undefined) text += `,"end":"${formatPageToken(page.endPosition)}"`
    if (page.state) text += `,"state":[${page.state.join(',')}]`
    return new SerializedJson(`${text}}`)
  },
})

/** Reads an event with what stands around it. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse: docs/admin_api/rooms.md. */
export const getAdminEventContext = clientEndpoint({
  operationId: 'admin.getEventContext',
  method: 'GET',
  path: `${PATH}/context/:eventId`,
  group: 'admin',
  auth: 'admin',
  params: Type.Object({ roomId: Type.String(), eventId: Type.String() }),
  query: Type.Object({
    limit: Type.Optional(Type.Integer()),
    filter: Type.Optional(Type.String({ maxLength: FILTER_CHARACTERS_MAX })),
  }),
  async handler({ params: { roomId, eventId }, query, requester }, ctx) {
    const context = await ctx.roomMessages.getContext(ctx.roomMessages.adminOf(requester), {
      roomId: parseRoomId(roomId),
      eventId: parseEventId(eventId),
      limit: parsePageLimit(query.limit, { max: CONTEXT_EVENTS_MAX, min: 0 }),
      filter: parseQueryFilter(query.filter),
    })
    return new SerializedJson(
      `{"start":"${formatPageToken(context.startPosition)}","end":"${formatPageToken(context.endPosition)}","event":${context.event}` +
        `,"events_before":[${context.before.join(',')}],"events_after":[${context.after.join(',')}],"state":[${context.state.join(',')}]}`,
    )
  },
})

/** Finds the event closest to a time. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. As Synapse: docs/admin_api/rooms.md. */
export const getAdminEventByTimestamp = clientEndpoint({
  operationId: 'admin.getEventByTimestamp',
  method: 'GET',
  path: `${PATH}/timestamp_to_event`,
  group: 'admin',
  auth: 'admin',
  params,
  query: Type.Object({ ts: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), dir: direction }),
  async handler({ params: { roomId }, query, requester }, ctx) {
    const found = await ctx.roomTimes.findNearest(ctx.roomMessages.adminOf(requester), {
      roomId: parseRoomId(roomId),
      timestampMs: query.ts,
      direction: query.dir,
    })
    return { event_id: found.eventId, origin_server_ts: found.timestampMs }
  },
})

/** Lists the rooms below a space, as far as this server knows them. Errors: M_FORBIDDEN, M_INVALID_PARAM. As Synapse: docs/admin_api/rooms.md. */
export const getAdminHierarchy = clientEndpoint({
  operationId: 'admin.getSpaceHierarchy',
  method: 'GET',
  path: `${PATH}/hierarchy`,
  group: 'admin',
  auth: 'admin',
  params,
  query: Type.Object({
    from: Type.Optional(Type.String({ maxLength: 100 })),
    limit: Type.Optional(Type.Integer({ minimum: 0 })),
    max_depth: Type.Optional(Type.Integer({ minimum: 0 })),
  }),
  async handler({ params: { roomId }, query, requester }, ctx) {
    const page = await ctx.spaceHierarchies.getPage(requester.userId, {
      roomId: parseRoomId(roomId),
      isSuggestedOnly: false,
      maxDepth: query.max_depth,
      limit: Math.min(query.limit ?? HIERARCHY_ROOMS_MAX, HIERARCHY_ROOMS_MAX),
      from: query.from,
      isAdmin: true,
    })
    const next = page.nextBatch === undefined ? '' : `,"next_batch":"${page.nextBatch}"`
    return new SerializedJson(`{"rooms":[${page.rooms.join(',')}]${next}}`)
  },
})

/** Reads an event as it is stored. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse: docs/admin_api/fetch_event.md. */
export const fetchEvent = clientEndpoint({
  operationId: 'admin.fetchEvent',
  method: 'GET',
  path: '/_synapse/admin/v1/fetch_event/:eventId',
  group: 'admin',
  auth: 'admin',
  params: Type.Object({ eventId: Type.String() }),
  async handler({ params: { eventId } }, ctx) {
    return { event: await ctx.adminRooms.getEvent(parseEventId(eventId)) }
  },
})
