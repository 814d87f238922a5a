import { MatrixError } from '../../protocol/errors.ts'
import type { PublicRoomsPage, PublicRoomsQuery } from '../../services/rooms/public-rooms.ts'
import { Type } from '../../util/schema.ts'
import type { FederationContext } from './context.ts'
import { federationEndpoint } from './federation-endpoint.ts'

const PUBLIC_ROOMS = '/_matrix/federation/v1/publicRooms'
const ROOMS_MAX = 500
const ROOMS_DEFAULT = 100
const common = {
  since: Type.Optional(Type.String({ maxLength: 500 })),
  include_all_networks: Type.Optional(Type.Boolean()),
  third_party_instance_id: Type.Optional(Type.String()),
}

interface Page {
  readonly limit: number | undefined
  readonly since: string | undefined
  readonly instanceId: string | undefined
}

async function list(
  ctx: FederationContext,
  page: Page,
  filter: Pick<PublicRoomsQuery, 'searchTerm' | 'roomTypes'>,
): Promise<PublicRoomsPage> {
  if (!ctx.config.rooms.allowPublicRoomsOverFederation)
    throw new MatrixError('M_FORBIDDEN', 'The room directory is not shown to other servers')
  // Bridged networks have lists of their own, and there is none yet.
  if (page.instanceId !== undefined) return { chunk: [], total_room_count_estimate: 0 }
  const limit = page.limit === undefined || page.limit <= 0 ? ROOMS_DEFAULT : Math.min(page.limit, ROOMS_MAX)
  return ctx.publicRooms.list({ ...filter, limit, since: page.since, isForServer: true })
}

/** Lists published rooms, where the option allow_public_rooms_over_federation lets us. Errors: M_FORBIDDEN. Spec: public_rooms.yaml. */
export const getPublicRooms = federationEndpoint({
  operationId: 'getPublicRooms',
  method: 'GET',
  path: PUBLIC_ROOMS,
  group: 'federation_reads',
  auth: 'signed',
  query: Type.Object({ limit: Type.Optional(Type.Integer()), ...common }),
  handler: ({ query }, ctx) =>
    list(
      ctx,
      { limit: query.limit, since: query.since, instanceId: query.third_party_instance_id },
      { searchTerm: undefined, roomTypes: undefined },
    ),
})

/** Lists the published rooms that a filter keeps. Errors: M_FORBIDDEN. Spec: public_rooms.yaml. */
export const queryPublicRooms = federationEndpoint({
  operationId: 'queryPublicRooms',
  method: 'POST',
  path: PUBLIC_ROOMS,
  group: 'federation_reads',
  auth: 'signed',
  body: Type.Object({
    limit: Type.Optional(Type.Integer()),
    ...common,
    filter: Type.Optional(
      Type.Object({
        generic_search_term: Type.Optional(Type.Union([Type.String({ maxLength: 500 }), Type.Null()])),
        room_types: Type.Optional(
          Type.Union([Type.Array(Type.Union([Type.String(), Type.Null()]), { maxItems: 100 }), Type.Null()]),
        ),
      }),
    ),
  }),
  handler: ({ body }, ctx) =>
    list(
      ctx,
      { limit: body.limit, since: body.since, instanceId: body.third_party_instance_id },
      { searchTerm: body.filter?.generic_search_term ?? undefined, roomTypes: body.filter?.room_types ?? undefined },
    ),
})
