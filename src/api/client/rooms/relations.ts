import { SerializedJson } from '../../../http/endpoint.ts'
import { parseEventId, parseRoomId } from '../../../protocol/ids.ts'
import type { Requester } from '../../../services/accounts/requester.ts'
import { RECURSION_DEPTH } from '../../../services/relations/relations.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import type { ClientContext } from '../context.ts'
import { formatPageToken, parseEventText, parsePageLimit, parsePositionToken, TOKEN_CHARACTERS_MAX } from './page-parameters.ts'

const PATH = '/_matrix/client/v1/rooms/:roomId/relations/:eventId'
const OLD_PATH = '/_matrix/client/unstable/rooms/:roomId/relations/:eventId'
const CHILDREN_MAX = 100

const PARAMS = { roomId: Type.String(), eventId: Type.String() }
const QUERY = Type.Object({
  from: Type.Optional(Type.String({ maxLength: TOKEN_CHARACTERS_MAX })),
  to: Type.Optional(Type.String({ maxLength: TOKEN_CHARACTERS_MAX })),
  limit: Type.Optional(Type.Integer()),
  dir: Type.Optional(Type.Union([Type.Literal('b'), Type.Literal('f')])),
  recurse: Type.Optional(Type.Boolean()),
})

interface RelationsInput {
  readonly params: { readonly roomId: string; readonly eventId: string; readonly relType?: string; readonly eventType?: string }
  readonly query: {
    readonly from?: string
    readonly to?: string
    readonly limit?: number
    readonly dir?: 'b' | 'f'
    readonly recurse?: boolean
  }
  readonly requester: Requester
}

/** Lists what relates to an event. Errors: M_NOT_FOUND, M_INVALID_PARAM. Spec: relations.yaml. */
export const getRelatingEvents = clientEndpoint({
  operationId: 'getRelatingEvents',
  method: 'GET',
  path: PATH,
  otherPaths: [OLD_PATH],
  group: 'room_messages',
  auth: 'guest',
  params: Type.Object(PARAMS),
  query: QUERY,
  handler: getRelations,
})

/** As getRelatingEvents, with one relation type. Spec: relations.yaml. */
export const getRelatingEventsWithRelType = clientEndpoint({
  operationId: 'getRelatingEventsWithRelType',
  method: 'GET',
  path: `${PATH}/:relType`,
  otherPaths: [`${OLD_PATH}/:relType`],
  group: 'room_messages',
  auth: 'guest',
  params: Type.Object({ ...PARAMS, relType: Type.String() }),
  query: QUERY,
  handler: getRelations,
})

/** As getRelatingEvents, with one relation type and event type. Spec: relations.yaml. */
export const getRelatingEventsWithRelTypeAndEventType = clientEndpoint({
  operationId: 'getRelatingEventsWithRelTypeAndEventType',
  method: 'GET',
  path: `${PATH}/:relType/:eventType`,
  otherPaths: [`${OLD_PATH}/:relType/:eventType`],
  group: 'room_messages',
  auth: 'guest',
  params: Type.Object({ ...PARAMS, relType: Type.String(), eventType: Type.String() }),
  query: QUERY,
  handler: getRelations,
})

async function getRelations({ params, query, requester }: RelationsInput, ctx: ClientContext): Promise<SerializedJson> {
  const page = await ctx.relations.getChildren(await ctx.roomMessages.readerOf(requester), {
    roomId: parseRoomId(params.roomId),
    eventId: parseEventId(params.eventId),
    relType: params.relType === undefined ? undefined : parseEventText(params.relType, 'relation type'),
    eventType: params.eventType === undefined ? undefined : parseEventText(params.eventType, 'event type'),
    direction: query.dir ?? 'b',
    from: parsePositionToken(query.from),
    to: parsePositionToken(query.to),
    limit: parsePageLimit(query.limit, { max: CHILDREN_MAX }),
    isRecursive: query.recurse ?? false,
  })
  let text = `{"chunk":[${page.chunk.join(',')}]`
  if (page.nextPosition !== undefined) text += `,"next_batch":"${formatPageToken(page.nextPosition)}"`
  if (query.from !== undefined) text += `,"prev_batch":${JSON.stringify(query.from)}`
  if (query.recurse === true) text += `,"recursion_depth":${RECURSION_DEPTH}`
  return new SerializedJson(`${text}}`)
}
