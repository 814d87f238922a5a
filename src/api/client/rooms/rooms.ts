import { SerializedJson } from '../../../http/endpoint.ts'
import { toClientEventJson } from '../../../protocol/events/client-event.ts'
import { parseEventId, parseRoomId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { parseEventText, parsePositionToken, TOKEN_CHARACTERS_MAX } from './page-parameters.ts'

const ROOM = '/_matrix/client/v3/rooms/:roomId'
const MEMBERSHIP = Type.Union(
  (['join', 'invite', 'knock', 'leave', 'ban'] as const).map((membership) => Type.Literal(membership)),
)

/** Reads one event. Errors: M_NOT_FOUND. Spec: rooms.yaml. */
export const getOneRoomEvent = clientEndpoint({
  operationId: 'getOneRoomEvent',
  method: 'GET',
  path: `${ROOM}/event/:eventId`,
  group: 'client_reads',
  auth: 'guest',
  params: Type.Object({ roomId: Type.String(), eventId: Type.String() }),
  async handler({ params, requester }, ctx) {
    const reader = await ctx.roomMessages.readerOf(requester)
    return new SerializedJson(await ctx.roomMessages.getEvent(reader, parseRoomId(params.roomId), parseEventId(params.eventId)))
  },
})

/** Reads a room's whole state. Errors: M_FORBIDDEN. Spec: rooms.yaml. */
export const getRoomState = clientEndpoint({
  operationId: 'getRoomState',
  method: 'GET',
  path: `${ROOM}/state`,
  group: 'client_reads',
  auth: 'guest',
  params: Type.Object({ roomId: Type.String() }),
  async handler({ params, requester }, ctx) {
    const texts = await ctx.roomStates.getAll(requester.userId, parseRoomId(params.roomId))
    return new SerializedJson(`[${texts.join(',')}]`)
  },
})

/** Reads one state event, or its content alone. Errors: M_FORBIDDEN, M_NOT_FOUND. Spec: rooms.yaml. */
export const getRoomStateWithKey = clientEndpoint({
  operationId: 'getRoomStateWithKey',
  method: 'GET',
  path: `${ROOM}/state/:eventType/:stateKey`,
  otherPaths: ['v3', 'r0'].map((version) => `/_matrix/client/${version}/rooms/:roomId/state/:eventType`),
  group: 'client_reads',
  auth: 'guest',
  params: Type.Object({ roomId: Type.String(), eventType: Type.String(), stateKey: Type.Optional(Type.String()) }),
  query: Type.Object({ format: Type.Optional(Type.Union([Type.Literal('content'), Type.Literal('event')])) }),
  async handler({ params, query, requester }, ctx) {
    const event = await ctx.roomStates.getOne(requester.userId, {
      roomId: parseRoomId(params.roomId),
      type: parseEventText(params.eventType, 'event type'),
      stateKey: parseEventText(params.stateKey ?? '', 'state key'),
    })
    return query.format === 'event' ? new SerializedJson(toClientEventJson(event)) : event.content
  },
})

/** Lists a room's member events. Errors: M_FORBIDDEN, M_INVALID_PARAM. Spec: rooms.yaml. */
export const getMembersByRoom = clientEndpoint({
  operationId: 'getMembersByRoom',
  method: 'GET',
  path: `${ROOM}/members`,
  group: 'client_reads',
  auth: 'guest',
  params: Type.Object({ roomId: Type.String() }),
  query: Type.Object({
    at: Type.Optional(Type.String({ maxLength: TOKEN_CHARACTERS_MAX })),
    membership: Type.Optional(MEMBERSHIP),
    not_membership: Type.Optional(MEMBERSHIP),
  }),
  async handler({ params, query, requester }, ctx) {
    const texts = await ctx.roomStates.getMembers(requester.userId, {
      roomId: parseRoomId(params.roomId),
      at: parsePositionToken(query.at),
      membership: query.membership,
      notMembership: query.not_membership,
    })
    return new SerializedJson(`{"chunk":[${texts.join(',')}]}`)
  },
})

/** Lists who is joined, with name and avatar. Errors: M_FORBIDDEN. Spec: rooms.yaml. */
export const getJoinedMembersByRoom = clientEndpoint({
  operationId: 'getJoinedMembersByRoom',
  method: 'GET',
  path: `${ROOM}/joined_members`,
  group: 'client_reads',
  auth: 'guest',
  params: Type.Object({ roomId: Type.String() }),
  async handler({ params, requester }, ctx) {
    return { joined: await ctx.roomStates.getJoinedMembers(requester.userId, parseRoomId(params.roomId)) }
  },
})
