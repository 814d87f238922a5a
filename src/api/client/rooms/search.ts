import type { Static } from 'typebox'
import { SerializedJson } from '../../../http/endpoint.ts'
import { MatrixError } from '../../../protocol/errors.ts'
import { EventFilter } from '../../../protocol/filters/event-filter.ts'
import { parseRoomEventFilter } from '../../../protocol/filters/parse-filter.ts'
import { groupToken } from '../../../services/search/message-search.ts'
import type { SearchResults } from '../../../services/search/message-search.ts'
import type { HitContext } from '../../../services/search/search-answers.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { formatPageToken } from './page-parameters.ts'

const HITS_MAX = 100
const CONTEXT_EVENTS_MAX = 50
const CONTEXT_EVENTS_DEFAULT = 5
const KEYS = ['content.body', 'content.name', 'content.topic'] as const

const ROOM_EVENTS = Type.Object({
  search_term: Type.String({ maxLength: 2000 }),
  keys: Type.Optional(Type.Array(Type.Union(KEYS.map((key) => Type.Literal(key))), { maxItems: 10 })),
  filter: Type.Optional(
    Type.Object({ rooms: Type.Optional(Type.Array(Type.String())), not_rooms: Type.Optional(Type.Array(Type.String())) }),
  ),
  order_by: Type.Optional(Type.Union([Type.Literal('recent'), Type.Literal('rank')])),
  event_context: Type.Optional(
    Type.Object({
      before_limit: Type.Optional(Type.Integer({ minimum: 0 })),
      after_limit: Type.Optional(Type.Integer({ minimum: 0 })),
      include_profile: Type.Optional(Type.Boolean()),
    }),
  ),
  include_state: Type.Optional(Type.Boolean()),
  groupings: Type.Optional(
    Type.Object({
      group_by: Type.Optional(
        Type.Array(Type.Object({ key: Type.Union([Type.Literal('room_id'), Type.Literal('sender')]) }), { maxItems: 10 }),
      ),
    }),
  ),
})

/** Searches messages in the user's rooms. Errors: M_BAD_JSON, M_INVALID_PARAM. Spec: search.yaml. */
export const search = clientEndpoint({
  operationId: 'search',
  method: 'POST',
  path: '/_matrix/client/v3/search',
  group: 'client_reads',
  auth: 'user',
  query: Type.Object({ next_batch: Type.Optional(Type.String({ maxLength: 500 })) }),
  body: Type.Object({ search_categories: Type.Object({ room_events: Type.Optional(ROOM_EVENTS) }) }),
  async handler({ query, body, requester }, ctx) {
    if (!ctx.config.server.enableSearch) throw new MatrixError('M_UNKNOWN', 'Search is disabled on this server', { status: 400 })
    const wish = body.search_categories.room_events
    if (!wish) return { search_categories: {} }
    const reader = await ctx.roomMessages.readerOf(requester)
    const { rooms, not_rooms: excludedRooms, ...filter } = parseRoomEventFilter(wish.filter ?? {})
    const results = await ctx.messageSearch.find(reader, {
      term: wish.search_term,
      keys: wish.keys ?? KEYS,
      filter: new EventFilter(filter, { limitMax: HITS_MAX }),
      roomIds: rooms as readonly string[] | undefined,
      excludedRoomIds: (excludedRooms as readonly string[] | undefined) ?? [],
      order: wish.order_by ?? 'rank',
      nextBatch: query.next_batch,
    })
    const { event_context: contextWish } = wish
    const [hits, contexts, states] = await Promise.all([
      ctx.searchAnswers.writeHits(reader, results),
      contextWish === undefined
        ? undefined
        : ctx.searchAnswers.getContexts(reader, results, {
            beforeLimit: Math.min(contextWish.before_limit ?? CONTEXT_EVENTS_DEFAULT, CONTEXT_EVENTS_MAX),
            afterLimit: Math.min(contextWish.after_limit ?? CONTEXT_EVENTS_DEFAULT, CONTEXT_EVENTS_MAX),
            includesProfiles: contextWish.include_profile ?? false,
          }),
      wish.include_state === true ? ctx.searchAnswers.getStates(requester.userId, results) : undefined,
    ])
    return new SerializedJson(writeAnswer(results, wish, { hits, contexts, states }))
  },
})

function writeAnswer(
  results: SearchResults,
  wish: Static<typeof ROOM_EVENTS>,
  parts: {
    hits: readonly string[]
    contexts: readonly HitContext[] | undefined
    states: ReadonlyMap<string, readonly string[]> | undefined
  },
): string {
  const { hits, contexts, states } = parts
  const texts = results.hits.map((hit, index) => {
    const context = contexts?.[index]
    return `{"rank":${hit.rank},"result":${hits[index] ?? '{}'}${context ? `,"context":${writeContext(context)}` : ''}}`
  })
  let text = `{"count":${results.count},"highlights":${JSON.stringify(results.highlights)},"results":[${texts.join(',')}]`
  if (states)
    text += `,"state":{${Array.from(states, ([roomId, events]) => `${JSON.stringify(roomId)}:[${events.join(',')}]`).join(',')}}`
  const groupKeys = wish.groupings?.group_by?.map((group) => group.key) ?? []
  if (groupKeys.length > 0)
    text += `,"groups":${JSON.stringify(Object.fromEntries(groupKeys.map((key) => [key, groupHits(results, key)])))}`
  if (results.nextBatch !== undefined) text += `,"next_batch":"${results.nextBatch}"`
  return `{"search_categories":{"room_events":${text}}}}`
}

function writeContext(context: HitContext): string {
  const profiles = context.profilesJson === undefined ? '' : `,"profile_info":${context.profilesJson}`
  return (
    `{"start":"${formatPageToken(context.startPosition)}","end":"${formatPageToken(context.endPosition)}"` +
    `,"events_before":[${context.before.join(',')}],"events_after":[${context.after.join(',')}]${profiles}}`
  )
}

function groupHits(results: SearchResults, key: 'room_id' | 'sender'): Record<string, object> {
  const groups = Map.groupBy(results.hits, ({ stored }) => (key === 'sender' ? stored.event.sender : stored.event.roomId))
  return Object.fromEntries(
    Array.from(groups, ([value, hits], order) => [
      value,
      {
        order,
        results: hits.map((hit) => hit.stored.event.eventId),
        ...(results.nextBatch === undefined ? {} : { next_batch: groupToken(results.nextBatch, { key, value }) }),
      },
    ]),
  )
}
