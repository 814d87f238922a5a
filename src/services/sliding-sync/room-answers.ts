import { EventFilter } from '../../protocol/filters/event-filter.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import { placeBefore, placeToToken } from '../../streams/history-place.ts'
import { formatRoomPosition } from '../../streams/sync-token.ts'
import type { SyncToken } from '../../streams/sync-token.ts'
import { viewerOf } from '../events/client-events.ts'
import type { TimelineWriter } from '../sync/event-writer.ts'
import { keyOf } from '../sync/member-events.ts'
import type { MemberEvents } from '../sync/member-events.ts'
import type { RoomSummaries } from '../sync/room-summaries.ts'
import type { SyncSources, UnreadCount } from '../sync/sync-sources.ts'
import type { Timeline, TimelineItem, TimelineLoader } from '../sync/timeline-loader.ts'
import type { Requester } from '../accounts/requester.ts'
import { NO_DELTA } from './room-deltas.ts'
import type { RoomDelta, RoomDeltas } from './room-deltas.ts'
import { UNKNOWN_FACTS } from './room-facts.ts'
import type { RoomFacts, RoomFactsCache } from './room-facts.ts'
import type { RoomPlan } from './room-plan.ts'
import type { RoomStateAnswer, RoomStates } from './room-states.ts'
import type { StrippedRooms } from './stripped-rooms.ts'

const NO_TIMELINE: Timeline = { items: [], isLimited: false }

/** One room of an answer. */
export interface RoomAnswer {
  readonly plan: RoomPlan
  /** The member of `rooms`: `"id":{…}`. */
  readonly text: string
  readonly timeline: Timeline
  readonly state: RoomStateAnswer | undefined
}

export interface AnswerFrame {
  readonly requester: Requester
  readonly since: SyncToken | undefined
  readonly now: SyncToken
  readonly ignoredUsers: ReadonlySet<string>
  readonly directRooms: ReadonlySet<string>
}

interface Parts {
  readonly timelines: ReadonlyMap<RoomId, Timeline>
  readonly deltas: ReadonlyMap<RoomId, RoomDelta>
  readonly states: ReadonlyMap<RoomId, RoomStateAnswer>
  readonly texts: ReadonlyMap<TimelineItem, string>
  readonly counts: ReadonlyMap<RoomId, UnreadCount>
  readonly facts: ReadonlyMap<RoomId, RoomFacts>
  readonly stripped: ReadonlyMap<RoomId, readonly string[]>
}

interface RoomAnswersDeps {
  readonly deltas: RoomDeltas
  readonly states: RoomStates
  readonly stripped: StrippedRooms
  readonly loader: TimelineLoader
  readonly writer: TimelineWriter
  readonly facts: RoomFactsCache
  readonly summaries: RoomSummaries
  readonly memberEvents: MemberEvents
  readonly unreadCounts: SyncSources['unreadCounts']
}

/** Writes the rooms of an answer: loads timelines, state and counts of all of them together, then joins strings. */
export class RoomAnswers {
  readonly #deps: RoomAnswersDeps
  readonly #filters = new Map<number, EventFilter>()

  constructor(deps: RoomAnswersDeps) {
    this.#deps = deps
  }

  async write(planned: readonly RoomPlan[], frame: AnswerFrame): Promise<RoomAnswer[]> {
    if (planned.length === 0) return []
    const { userId } = frame.requester
    const deltas = await this.#loadDeltas(planned)
    const plans = planned.map((plan) => startAnew(plan, deltas.get(plan.roomId), userId))
    const joined = plans.filter((plan) => plan.membership === 'join').map((plan) => plan.roomId)
    const [timelines, counts, stripped] = await Promise.all([
      this.#loadTimelines(plans, frame),
      this.#deps.unreadCounts.getForRooms({ userId, roomIds: joined }),
      this.#deps.stripped.get(plans.filter(isOutside), userId),
    ])
    const wishes = plans
      .filter((plan) => plan.place && !isOutside(plan))
      .map((plan) => ({
        plan,
        timeline: timelines.get(plan.roomId) ?? NO_TIMELINE,
        delta: deltas.get(plan.roomId) ?? NO_DELTA,
      }))
    const [states, texts, facts] = await Promise.all([
      this.#deps.states.make(wishes, userId),
      this.#deps.writer.write(timelines.values(), viewerOf(frame.requester), undefined),
      this.#getFacts(plans),
    ])
    const parts = { timelines, deltas, states, texts, counts, facts, stripped }
    return Promise.all(
      plans.map(async (plan) => ({
        plan,
        text: await this.#writeRoom(plan, frame, parts),
        timeline: timelines.get(plan.roomId) ?? NO_TIMELINE,
        state: states.get(plan.roomId),
      })),
    )
  }

  #loadDeltas(plans: readonly RoomPlan[]): Promise<Map<RoomId, RoomDelta>> {
    return this.#deps.deltas.load(
      plans
        .filter((plan) => !plan.isInitial && !isOutside(plan))
        .map(({ roomId, from, end }) => ({ roomId, after: from, upTo: end })),
    )
  }

  async #loadTimelines(plans: readonly RoomPlan[], { requester, ignoredUsers }: AnswerFrame): Promise<Map<RoomId, Timeline>> {
    const wanted = plans.filter((plan) => plan.place && !isOutside(plan) && plan.config.timelineLimit > 0)
    // Who was joined all the time sees everything.
    const isTrusted = (plan: RoomPlan): boolean =>
      !plan.isInitial && !plan.isExpanded && plan.membership === 'join' && (plan.place?.position ?? 0) <= plan.from
    const groups = Map.groupBy(wanted, (plan) => `${plan.config.timelineLimit} ${isTrusted(plan)}`)
    const loaded = await Promise.all(
      [...groups.values()].map((group) => {
        const [first] = group as [RoomPlan, ...RoomPlan[]]
        return this.#deps.loader.load(
          group.map(({ roomId, from, end, isExpanded }) => ({
            roomId,
            after: (isExpanded ? 0 : from) as StreamPosition,
            upTo: end as StreamPosition,
          })),
          { filter: this.#filterOf(first.config.timelineLimit), userId: requester.userId, ignoredUsers },
          { checksVisibility: !isTrusted(first) },
        )
      }),
    )
    return new Map(loaded.flatMap((timelines) => [...timelines]))
  }

  #filterOf(limit: number): EventFilter {
    const known = this.#filters.get(limit)
    if (known) return known
    const filter = new EventFilter({ limit }, { limitMax: limit })
    this.#filters.set(limit, filter)
    return filter
  }

  /** Name, avatar and bump stamp: of joined rooms from memory, of others as they were. */
  async #getFacts(plans: readonly RoomPlan[]): Promise<Map<RoomId, RoomFacts>> {
    const joined = plans.filter((plan) => plan.membership === 'join').map((plan) => plan.roomId)
    const others = plans.filter((plan) => plan.membership !== 'join' && plan.place && plan.isInitial)
    const [, factsOfOthers] = await Promise.all([this.#deps.facts.load(joined), this.#deps.stripped.getFacts(others)])
    for (const roomId of joined) factsOfOthers.set(roomId, this.#deps.facts.get(roomId) ?? UNKNOWN_FACTS)
    return factsOfOthers
  }

  async #writeRoom(plan: RoomPlan, frame: AnswerFrame, parts: Parts): Promise<string> {
    const { roomId, membership, place, isInitial } = plan
    const facts = parts.facts.get(roomId) ?? UNKNOWN_FACTS
    const delta = parts.deltas.get(roomId) ?? NO_DELTA
    const count = parts.counts.get(roomId)
    const fields = [countsText(count)]
    if (isInitial) fields.push('"initial":true')
    const hasNewName = isInitial || hasChanged(delta, 'm.room.name')
    if (hasNewName && facts.name !== undefined) fields.push(`"name":${JSON.stringify(facts.name)}`)
    if (facts.avatarUrl !== undefined && (isInitial || hasChanged(delta, 'm.room.avatar')))
      fields.push(`"avatar":${JSON.stringify(facts.avatarUrl)}`)
    else if (!isInitial && membership === 'join' && hasChanged(delta, 'm.room.avatar')) fields.push('"avatar":null')
    if (membership === 'join') {
      const hasNewMembers = isInitial || this.#deps.summaries.hasChanged(roomId, plan.from as StreamPosition)
      if (hasNewMembers || hasNewName)
        fields.push(
          await this.#writeSummary(roomId, frame.requester.userId, { hasNewMembers, hasName: facts.name !== undefined }),
        )
    }
    if (frame.directRooms.has(roomId)) fields.push('"is_dm":true')
    const bumpStamp = membership === 'join' && facts.bumpStamp > 0 ? facts.bumpStamp : place?.position
    if (bumpStamp !== undefined) fields.push(`"bump_stamp":${bumpStamp}`)
    const stripped = parts.stripped.get(roomId)
    if (stripped) fields.push(`"invite_state":[${stripped.join(',')}]`)
    else fields.push(...timelineFields(plan, frame, parts))
    return `${JSON.stringify(roomId)}:{${fields.filter((field) => field !== '').join(',')}}`
  }

  /** Counts, and heroes for clients to make a name of where the room has none. */
  async #writeSummary(
    roomId: RoomId,
    reader: UserId,
    { hasNewMembers, hasName }: { readonly hasNewMembers: boolean; readonly hasName: boolean },
  ): Promise<string> {
    const fields: string[] = []
    if (hasNewMembers) {
      const { joinedCount, invitedCount } = await this.#deps.summaries.getCounts(roomId)
      fields.push(`"joined_count":${joinedCount},"invited_count":${invitedCount}`)
    }
    const heroes = hasName ? [] : await this.#deps.summaries.getHeroes(roomId, reader)
    if (heroes.length > 0) {
      const events = await this.#deps.memberEvents.get(heroes.map((userId) => ({ roomId, userId })))
      const texts = heroes.map((userId) => heroText(userId, events.get(keyOf(roomId, userId))))
      fields.push(`"heroes":[${texts.join(',')}]`)
    }
    return fields.join(',')
  }
}

/** A state resolution took away what the client was told: only being told everything anew makes it forget. */
function startAnew(plan: RoomPlan, delta: RoomDelta | undefined, me: UserId): RoomPlan {
  const isMissed = delta?.emptied.some(
    ({ type, stateKey }) =>
      plan.config.required.matches(type, stateKey, me) ||
      (type === 'm.room.member' && plan.told?.members.includes(stateKey) === true),
  )
  return isMissed === true ? { ...plan, isInitial: true, from: 0, isExpanded: false, addedState: [] } : plan
}

/** Invited, or knocking: the room itself is not seen. */
function isOutside({ membership }: RoomPlan): boolean {
  return membership === 'invite' || membership === 'knock'
}

function hasChanged(delta: RoomDelta, type: string): boolean {
  return [...delta.slots, ...delta.emptied].some((slot) => slot.type === type && slot.stateKey === '')
}

function timelineFields(plan: RoomPlan, { since, now }: AnswerFrame, parts: Parts): string[] {
  const fields: string[] = []
  const state = parts.states.get(plan.roomId)?.texts ?? []
  if (state.length > 0 || plan.isInitial) fields.push(`"required_state":[${state.join(',')}]`)
  const timeline = parts.timelines.get(plan.roomId)
  if (!timeline) return fields
  const events = timeline.items.map((item) => parts.texts.get(item) ?? '').filter((text) => text !== '')
  if (events.length > 0 || plan.isInitial) fields.push(`"timeline":[${events.join(',')}]`)
  const [first] = timeline.items
  const before = placeToToken(first ? placeBefore(first.position) : Math.min(plan.end, now.events))
  const prevBatch = formatRoomPosition({
    events: before.events as StreamPosition,
    eventLanes: undefined,
    depth: before.depth,
  })
  const liveCount = since ? timeline.items.filter((item) => item.position > since.events).length : 0
  fields.push(`"limited":${timeline.isLimited},"prev_batch":"${prevBatch}","num_live":${liveCount}`)
  if (plan.isExpanded) fields.push('"unstable_expanded_timeline":true')
  return fields
}

/** Clients of sliding sync show one count: that of all threads together. */
function countsText(count: UnreadCount | undefined): string {
  let notificationCount = count?.notificationCount ?? 0
  let highlightCount = count?.highlightCount ?? 0
  for (const [, thread] of count?.threads ?? []) {
    notificationCount += thread.notificationCount
    highlightCount += thread.highlightCount
  }
  return `"notification_count":${notificationCount},"highlight_count":${highlightCount}`
}

function heroText(userId: UserId, eventJson: string | undefined): string {
  const event: unknown = eventJson === undefined ? undefined : JSON.parse(eventJson)
  const content = isJsonObject(event) && isJsonObject(event['content']) ? event['content'] : {}
  const { displayname, avatar_url: avatarUrl } = content as { displayname?: unknown; avatar_url?: unknown }
  return JSON.stringify({
    user_id: userId,
    ...(typeof displayname === 'string' && { displayname }),
    ...(typeof avatarUrl === 'string' && { avatar_url: avatarUrl }),
  })
}
