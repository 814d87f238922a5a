import { SerializedJson } from '../../../http/endpoint.ts'
import { parseEventId, parseRoomId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { formatPageToken, parsePageLimit, parsePositionToken, TOKEN_CHARACTERS_MAX } from '../rooms/page-parameters.ts'

const MESSAGES_MAX = 100
const TIMEOUT_MS_DEFAULT = 0

/**
 * Waits for new events: of all rooms of the user, or with `room_id` of one that may be read (operation peekEvents).
 * Errors: M_FORBIDDEN, M_INVALID_PARAM. Spec: old_sync.yaml, peeking_events.yaml.
 */
export const getEvents = clientEndpoint({
  operationId: 'getEvents',
  method: 'GET',
  path: '/_matrix/client/v3/events',
  otherPaths: ['/_matrix/client/api/v1/events'],
  group: 'events_stream',
  auth: 'guest',
  query: Type.Object({
    from: Type.Optional(Type.String({ maxLength: TOKEN_CHARACTERS_MAX })),
    timeout: Type.Optional(Type.Integer({ minimum: 0 })),
    room_id: Type.Optional(Type.String()),
  }),
  async handler({ query, requester, request }, ctx) {
    const chunk = await ctx.eventStream.read(await ctx.roomMessages.readerOf(requester), {
      from: parsePositionToken(query.from),
      roomId: query.room_id === undefined ? undefined : parseRoomId(query.room_id),
      timeoutMs: query.timeout ?? TIMEOUT_MS_DEFAULT,
      signal: request.signal,
    })
    return new SerializedJson(
      `{"start":${JSON.stringify(query.from ?? formatPageToken(chunk.start))},"end":"${formatPageToken(chunk.end)}","chunk":[${chunk.chunk.join(',')}]}`,
    )
  },
})

/** Shows all rooms of the user as they are now. Errors: M_INVALID_PARAM. Spec: old_sync.yaml. */
export const initialSync = clientEndpoint({
  operationId: 'initialSync',
  method: 'GET',
  path: '/_matrix/client/v3/initialSync',
  otherPaths: ['/_matrix/client/api/v1/initialSync'],
  group: 'initial_sync',
  auth: 'guest',
  query: Type.Object({ limit: Type.Optional(Type.Integer()), archived: Type.Optional(Type.Boolean()) }),
  async handler({ query, requester }, ctx) {
    const snapshot = await ctx.roomSnapshots.getUser(await ctx.roomMessages.readerOf(requester), {
      limit: parsePageLimit(query.limit, { max: MESSAGES_MAX }),
      includesLeft: query.archived ?? false,
    })
    return new SerializedJson(
      `{"end":"${formatPageToken(snapshot.position)}","rooms":[${snapshot.rooms.join(',')}],"presence":[${snapshot.presence.join(',')}]` +
        `,"account_data":[${snapshot.accountData.join(',')}]}`,
    )
  },
})

/** Reads one event without naming its room. Errors: M_NOT_FOUND. Spec: old_sync.yaml. */
export const getOneEvent = clientEndpoint({
  operationId: 'getOneEvent',
  method: 'GET',
  path: '/_matrix/client/v3/events/:eventId',
  otherPaths: ['/_matrix/client/api/v1/events/:eventId'],
  group: 'client_reads',
  auth: 'guest',
  params: Type.Object({ eventId: Type.String() }),
  async handler({ params, requester }, ctx) {
    return new SerializedJson(
      await ctx.roomMessages.getEvent(await ctx.roomMessages.readerOf(requester), undefined, parseEventId(params.eventId)),
    )
  },
})
