import { SerializedJson } from '../../../http/endpoint.ts'
import { parseRoomId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import {
  FILTER_CHARACTERS_MAX,
  formatPageToken,
  parsePageLimit,
  parsePageToken,
  parseQueryFilter,
  TOKEN_CHARACTERS_MAX,
} from './page-parameters.ts'

/** Reads a page of a room's history. Errors: M_FORBIDDEN, M_INVALID_PARAM, M_BAD_JSON. Spec: message_pagination.yaml. */
export const getRoomEvents = clientEndpoint({
  operationId: 'getRoomEvents',
  method: 'GET',
  path: '/_matrix/client/v3/rooms/:roomId/messages',
  group: 'room_messages',
  auth: 'guest',
  params: Type.Object({ roomId: Type.String() }),
  query: Type.Object({
    from: Type.Optional(Type.String({ maxLength: TOKEN_CHARACTERS_MAX })),
    to: Type.Optional(Type.String({ maxLength: TOKEN_CHARACTERS_MAX })),
    // The specification requires it; clients that leave it out read forwards, as from Synapse.
    dir: Type.Union([Type.Literal('b'), Type.Literal('f')], { default: 'f' }),
    limit: Type.Optional(Type.Integer()),
    filter: Type.Optional(Type.String({ maxLength: FILTER_CHARACTERS_MAX })),
  }),
  async handler({ params, query, requester }, ctx) {
    const page = await ctx.roomMessages.getPage(await ctx.roomMessages.readerOf(requester), {
      roomId: parseRoomId(params.roomId),
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
