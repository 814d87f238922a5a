import type { Static } from 'typebox'
import { SerializedJson } from '../../../http/endpoint.ts'
import { invalidParam } from '../../../protocol/errors.ts'
import { isRoomId } from '../../../protocol/ids.ts'
import type { RoomId } from '../../../protocol/ids.ts'
import type { RequiredStates } from '../../../services/sliding-sync/required-state.ts'
import { parsePos } from '../../../services/sliding-sync/sliding-request.ts'
import type {
  ExtensionScope,
  ExtensionsRequest,
  ListFilters,
  ListRequest,
  RoomConfig,
} from '../../../services/sliding-sync/sliding-request.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

const LISTS_MAX = 100
const SUBSCRIPTIONS_MAX = 1000
const RANGES_MAX = 20
const REQUIRED_STATE_MAX = 256
const FILTER_ENTRIES_MAX = 100
const TIMELINE_LIMIT_MAX = 1000
const TO_DEVICE_LIMIT = 100

const optionalOrNull = <Schema extends Parameters<typeof Type.Optional>[0]>(schema: Schema) =>
  Type.Optional(Type.Union([schema, Type.Null()]))
const text = (maxLength = 255) => Type.String({ maxLength })
const texts = () => Type.Array(text(), { maxItems: FILTER_ENTRIES_MAX })
const typesOrNull = () => Type.Array(Type.Union([text(), Type.Null()]), { maxItems: FILTER_ENTRIES_MAX })

const roomConfigMembers = {
  required_state: Type.Optional(Type.Array(Type.Array(text(), { minItems: 2, maxItems: 2 }), { maxItems: REQUIRED_STATE_MAX })),
  timeline_limit: Type.Optional(Type.Integer({ minimum: 0, maximum: TIMELINE_LIMIT_MAX })),
}
const roomConfigSchema = Type.Object(roomConfigMembers)

const listSchema = Type.Object({
  ...roomConfigMembers,
  ranges: optionalOrNull(
    Type.Array(Type.Array(Type.Integer({ minimum: 0 }), { minItems: 2, maxItems: 2 }), { maxItems: RANGES_MAX }),
  ),
  slow_get_all_rooms: optionalOrNull(Type.Boolean()),
  filters: optionalOrNull(
    Type.Object({
      is_dm: optionalOrNull(Type.Boolean()),
      spaces: optionalOrNull(texts()),
      is_encrypted: optionalOrNull(Type.Boolean()),
      is_invite: optionalOrNull(Type.Boolean()),
      room_types: optionalOrNull(typesOrNull()),
      not_room_types: optionalOrNull(typesOrNull()),
      room_name_like: optionalOrNull(text()),
      tags: optionalOrNull(texts()),
      not_tags: optionalOrNull(texts()),
    }),
  ),
})

const scopeSchema = Type.Object({
  enabled: optionalOrNull(Type.Boolean()),
  lists: optionalOrNull(Type.Array(text(), { maxItems: LISTS_MAX })),
  rooms: optionalOrNull(Type.Array(text(), { maxItems: SUBSCRIPTIONS_MAX })),
})

const extensionsSchema = Type.Object({
  to_device: optionalOrNull(
    Type.Object({
      enabled: optionalOrNull(Type.Boolean()),
      limit: optionalOrNull(Type.Integer()),
      since: optionalOrNull(Type.String({ pattern: '^[0-9]{1,15}$' })),
    }),
  ),
  e2ee: optionalOrNull(Type.Object({ enabled: optionalOrNull(Type.Boolean()) })),
  account_data: optionalOrNull(scopeSchema),
  receipts: optionalOrNull(scopeSchema),
  typing: optionalOrNull(scopeSchema),
})

const bodySchema = Type.Object({
  conn_id: optionalOrNull(text()),
  txn_id: optionalOrNull(text()),
  lists: optionalOrNull(Type.Record(Type.String(), listSchema, { maxProperties: LISTS_MAX, propertyNames: { maxLength: 64 } })),
  room_subscriptions: optionalOrNull(Type.Record(Type.String(), roomConfigSchema, { maxProperties: SUBSCRIPTIONS_MAX })),
  extensions: optionalOrNull(extensionsSchema),
})

type ListBody = Static<typeof listSchema>
type ExtensionsBody = Static<typeof extensionsSchema>

/**
 * Tells what happened in the rooms that a client looks at, and waits for it: the sync of Element X. Errors: M_UNKNOWN_POS,
 * M_INVALID_PARAM, M_BAD_JSON. MSC4186 (path and names of its ancestor, MSC3575).
 */
export const slidingSync = clientEndpoint({
  operationId: 'slidingSync',
  method: 'POST',
  path: '/_matrix/client/unstable/org.matrix.simplified_msc3575/sync',
  group: 'sliding_sync',
  auth: 'guest',
  query: Type.Object({
    pos: Type.Optional(Type.String({ maxLength: 1000 })),
    timeout: Type.Optional(Type.Integer({ minimum: 0 })),
  }),
  body: bodySchema,
  async handler({ query, body, requester, request }, { slidingSync: service, config }) {
    const { requiredStates } = service
    const { filterTimelineLimit } = config.server
    const limitMax = filterTimelineLimit < 0 ? TIMELINE_LIMIT_MAX : filterTimelineLimit
    return new SerializedJson(
      await service.sync({
        requester,
        pos: query.pos === undefined || query.pos === '' ? undefined : parsePos(query.pos),
        connId: body.conn_id ?? '',
        timeoutMs: query.timeout ?? 0,
        lists: new Map(Object.entries(body.lists ?? {}).map(([name, list]) => [name, readList(list, requiredStates, limitMax)])),
        subscriptions: new Map(
          Object.entries(body.room_subscriptions ?? {})
            .filter(([roomId]) => isRoomId(roomId))
            .map(([roomId, room]) => [roomId as RoomId, readConfig(room, requiredStates, limitMax)]),
        ),
        extensions: readExtensions(body.extensions ?? {}),
        txnId: body.txn_id ?? undefined,
        signal: request.signal,
      }),
    )
  },
})

function readConfig(body: Static<typeof roomConfigSchema>, requiredStates: RequiredStates, limitMax: number): RoomConfig {
  return {
    timelineLimit: Math.min(body.timeline_limit ?? 0, limitMax),
    required: requiredStates.get((body.required_state ?? []).map(([type = '', stateKey = '']) => [type, stateKey])),
  }
}

function readList(body: ListBody, requiredStates: RequiredStates, limitMax: number): ListRequest {
  const ranges = body.ranges?.map(([first = 0, last = 0]): readonly [number, number] => {
    if (first > last) throw invalidParam('A range must not end before it begins')
    return [first, last]
  })
  return {
    ...readConfig(body, requiredStates, limitMax),
    ranges: body.slow_get_all_rooms === true ? undefined : ranges,
    filters: readFilters(body.filters ?? {}),
  }
}

function readFilters(body: NonNullable<ListBody['filters']>): ListFilters {
  const { is_dm, spaces, is_encrypted, is_invite, room_types, not_room_types, room_name_like, tags, not_tags } = body
  return {
    ...(typeof is_dm === 'boolean' && { isDm: is_dm }),
    ...(spaces && { spaces }),
    ...(typeof is_encrypted === 'boolean' && { isEncrypted: is_encrypted }),
    ...(typeof is_invite === 'boolean' && { isInvite: is_invite }),
    ...(room_types && { roomTypes: room_types }),
    ...(not_room_types && { notRoomTypes: not_room_types }),
    ...(typeof room_name_like === 'string' && { roomNameLike: room_name_like }),
    ...(tags && { tags }),
    ...(not_tags && { notTags: not_tags }),
  }
}

function readExtensions(body: ExtensionsBody): ExtensionsRequest {
  const toDevice = body.to_device
  return {
    toDevice:
      toDevice?.enabled === true
        ? { since: toDevice.since == null ? undefined : Number(toDevice.since), limit: toDevice.limit ?? TO_DEVICE_LIMIT }
        : undefined,
    hasE2ee: body.e2ee?.enabled === true,
    accountData: readScope(body.account_data),
    receipts: readScope(body.receipts),
    typing: readScope(body.typing),
  }
}

function readScope(body: Static<typeof scopeSchema> | null | undefined): ExtensionScope | undefined {
  if (body?.enabled !== true) return undefined
  // Absent means all; null means none. Behaviour of Synapse.
  return {
    lists: body.lists === undefined ? ['*'] : (body.lists ?? []),
    rooms: body.rooms === undefined ? ['*'] : (body.rooms ?? []),
  }
}
