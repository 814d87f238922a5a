import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getOutsideMemberEvents, getOutsideRoomStates } from '../../storage/tables/outside-rooms.ts'
import { getMembershipsAsOf, getTypesAsOf } from '../../storage/tables/sync-state.ts'
import { placeBefore, placeToToken } from '../../streams/history-place.ts'
import { formatRoomPosition } from '../../streams/sync-token.ts'
import type { SyncToken } from '../../streams/sync-token.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { EventReader } from '../events/event-reader.ts'
import { viewerOf } from '../events/client-events.ts'
import { stateRecordToClientJson, stateRecordToStrippedJson } from '../events/state-records.ts'
import { toFederationFormat } from './federation-format.ts'
import type { TimelineWriter } from './event-writer.ts'
import type { ForkPositions } from './fork-positions.ts'
import type { RoomSummaries } from './room-summaries.ts'
import type { StateSections, StateWish } from './state-sections.ts'
import type { SyncRequest } from './sync-request.ts'
import type { RoomPlan } from './sync-rooms.ts'
import type { AccountDataSet, SyncSources } from './sync-sources.ts'
import type { Timeline, TimelineLoader } from './timeline-loader.ts'

/** What one answer knows besides the rooms. */
export interface SyncFrame {
  readonly request: SyncRequest
  readonly since: SyncToken | undefined
  readonly now: SyncToken
  readonly ignoredUsers: ReadonlySet<string>
  readonly accountData: AccountDataSet
  /** Content of `m.receipt` and of `m.typing` by room, both unfiltered. */
  readonly receipts: ReadonlyMap<RoomId, string>
  readonly typing: ReadonlyMap<RoomId, readonly UserId[]>
}

/** The four sections under `rooms`, as lists of `"id":{…}` members. */
export interface RoomTexts {
  readonly join: readonly string[]
  readonly invite: readonly string[]
  readonly knock: readonly string[]
  readonly leave: readonly string[]
}

const NO_TIMELINE: Timeline = { items: [], isLimited: false }

/** Writes the rooms of an answer: loads timelines, state and counts for all of them together, then joins strings. */
export class RoomSections {
  readonly #deps: {
    database: Database
    events: EventReader
    loader: TimelineLoader
    writer: TimelineWriter
    states: StateSections
    summaries: RoomSummaries
    forks: ForkPositions
    unreadCounts: SyncSources['unreadCounts']
    strippedTypes: readonly string[]
  }

  constructor(deps: {
    database: Database
    events: EventReader
    loader: TimelineLoader
    writer: TimelineWriter
    states: StateSections
    summaries: RoomSummaries
    forks: ForkPositions
    unreadCounts: SyncSources['unreadCounts']
    strippedTypes: readonly string[]
  }) {
    this.#deps = deps
  }

  async write(plan: RoomPlan, frame: SyncFrame): Promise<RoomTexts> {
    const [{ join, leave }, invite, knock] = await Promise.all([
      this.#writeMembers(plan, frame),
      this.#writeOutside(plan.invited, 'invite_state', frame),
      this.#writeOutside(plan.knocked, 'knock_state', frame),
    ])
    return { join, invite, knock, leave }
  }

  async #writeMembers(plan: RoomPlan, frame: SyncFrame): Promise<{ join: string[]; leave: string[] }> {
    const { request, since, now } = frame
    const { userId } = request.requester
    const timelines = await this.#loadTimelines(plan, frame)
    const wishes = await this.#wishStates(plan, frame, timelines)
    const shown = new Set([...plan.joined, ...plan.newlyJoined])
    const isFederationFormat = request.filter.eventFormat === 'federation'
    const [states, texts, counts] = await Promise.all([
      this.#deps.states
        .make(wishes, { userId, deviceKey: request.requester.deviceId ?? '', filter: request.filter.room.state })
        .then((sections) => (isFederationFormat ? this.#inFederationFormat(sections) : sections)),
      this.#deps.writer.write(timelines.values(), viewerOf(request.requester), {
        project: request.filter.projectFields,
        isFederationFormat,
      }),
      this.#deps.unreadCounts.getForRooms({ userId, roomIds: [...shown] }),
    ])
    const newly = new Set(plan.newlyJoined)
    const join: string[] = []
    for (const roomId of shown) {
      const timeline = timelines.get(roomId) ?? NO_TIMELINE
      const state = states.get(roomId) ?? []
      const isWhole = newly.has(roomId) || request.isFullState
      const summary =
        isWhole || (since && this.#deps.summaries.hasChanged(roomId, since.events))
          ? await this.#deps.summaries.getJson(roomId, userId)
          : '{}'
      join.push(
        `${JSON.stringify(roomId)}:{"summary":${summary},${stateText(state, request)},"timeline":${timelineText(timeline, texts, now)}` +
          `,"ephemeral":{"events":[${ephemeralTexts(roomId, frame).join(',')}]},"account_data":{"events":[${accountDataTexts(roomId, frame).join(',')}]}` +
          `,${countsText(counts.get(roomId), request)}}`,
      )
    }
    const ends = await this.#loadOutsideEnds(plan, timelines, frame)
    const leave = plan.left.map(({ roomId, position }) => {
      const timeline = timelines.get(roomId) ?? NO_TIMELINE
      const text = timelineText(timeline, texts, { ...now, events: position }, ends.get(roomId))
      return `${JSON.stringify(roomId)}:{${stateText(states.get(roomId) ?? [], request)},"timeline":${text},"account_data":{"events":[]}}`
    })
    return { join, leave }
  }

  async #inFederationFormat(states: ReadonlyMap<RoomId, readonly string[]>): Promise<Map<RoomId, readonly string[]>> {
    const rooms = [...states.keys()]
    const texts = await Promise.all([...states.values()].map((section) => toFederationFormat(section, this.#deps.events)))
    return new Map(rooms.map((roomId, index) => [roomId, texts[index] ?? []]))
  }

  /** Where the user was outside all the time (an invite taken back or rejected) the timeline is the end of that, and nothing else. */
  async #loadOutsideEnds(
    plan: RoomPlan,
    timelines: ReadonlyMap<RoomId, Timeline>,
    { request }: SyncFrame,
  ): Promise<ReadonlyMap<RoomId, string>> {
    const { userId } = request.requester
    const rooms = plan.left.filter(({ roomId }) => (timelines.get(roomId)?.items.length ?? 0) === 0)
    if (rooms.length === 0 || !request.filter.room.timeline.matches({ type: 'm.room.member', sender: userId })) return new Map()
    const records = await getOutsideMemberEvents(this.#deps.database, { userId, rooms })
    return new Map(records.map((record) => [record.roomId, stateRecordToClientJson(record)]))
  }

  async #loadTimelines(plan: RoomPlan, frame: SyncFrame): Promise<Map<RoomId, Timeline>> {
    const { request, since, now, ignoredUsers } = frame
    const wish = { filter: request.filter.room.timeline, userId: request.requester.userId, ignoredUsers }
    const start = 0 as StreamPosition
    const [joined, others] = await Promise.all([
      this.#deps.loader.load(
        plan.joined.map((roomId) => ({ roomId, after: since?.events ?? start, upTo: now.events })),
        wish,
        { checksVisibility: false },
      ),
      this.#deps.loader.load(
        [
          ...plan.newlyJoined.map((roomId) => ({ roomId, after: start, upTo: now.events })),
          ...plan.left.map(({ roomId, position, isWhole }) => ({
            roomId,
            after: isWhole ? start : (since?.events ?? start),
            upTo: position,
          })),
        ],
        wish,
        { checksVisibility: true },
      ),
    ])
    if (since) {
      // Who just came knows that there was a time before: clients then ask for the members anew. Behaviour of Synapse.
      for (const roomId of plan.newlyJoined) others.set(roomId, { items: others.get(roomId)?.items ?? [], isLimited: true })
    }
    return new Map([...joined, ...others])
  }

  async #wishStates(plan: RoomPlan, frame: SyncFrame, timelines: ReadonlyMap<RoomId, Timeline>): Promise<StateWish[]> {
    const { request, since, now } = frame
    const wish = async (roomId: RoomId, end: StreamPosition, isWhole: boolean): Promise<StateWish> => {
      const timeline = timelines.get(roomId) ?? NO_TIMELINE
      const timelineStart = timeline.items[0]?.position
      // With `state_after` the section holds the state after the timeline, otherwise that before it.
      const upTo = request.usesStateAfter || timelineStart === undefined ? end : timelineStart - 1
      const after = since?.events ?? 0
      const hasForked = this.#deps.forks.hasForked(roomId, isWhole ? upTo : after)
      const isDelta = timeline.isLimited || request.usesStateAfter || hasForked || !request.filter.room.timeline.matchesEverything
      return {
        roomId,
        timeline,
        kind: isWhole ? 'full' : isDelta ? 'delta' : 'none',
        after,
        upTo,
        forkedUpTo: hasForked && upTo < end ? end : undefined,
        extraMembers:
          isWhole && request.filter.room.state.lazyLoadMembers
            ? await this.#deps.summaries.getHeroes(roomId, request.requester.userId)
            : [],
      }
    }
    return Promise.all([
      ...plan.joined.map((roomId) => wish(roomId, now.events, request.isFullState)),
      ...plan.newlyJoined.map((roomId) => wish(roomId, now.events, true)),
      ...plan.left.map(({ roomId, position, isWhole }) => wish(roomId, position, isWhole)),
    ])
  }

  /** Invites and knocks: stripped state, and the user's own member event. */
  async #writeOutside(
    places: readonly { readonly roomId: RoomId; readonly position: StreamPosition }[],
    section: 'invite_state' | 'knock_state',
    frame: SyncFrame,
  ): Promise<string[]> {
    if (places.length === 0) return []
    const { userId } = frame.request.requester
    const [state, own, shown] = await Promise.all([
      getTypesAsOf(this.#deps.database, { rooms: places, types: this.#deps.strippedTypes }),
      getMembershipsAsOf(this.#deps.database, { rooms: places, userId }),
      getOutsideRoomStates(this.#deps.database, { userId, roomIds: places.map(({ roomId }) => roomId) }),
    ])
    const shownByEvent = new Map(shown.map(({ eventId, stateJson }) => [eventId, stateJson.slice(1, -1)]))
    const byRoom = Map.groupBy(state, (record) => record.roomId)
    const ownByRoom = new Map(own.map((record) => [record.roomId, record]))
    return places.map(({ roomId }) => {
      const member = ownByRoom.get(roomId)
      // What another server told of a room that we are not in, instead of what we know of it from earlier times.
      const told = member && shownByEvent.get(member.eventId)
      const texts = told === undefined ? (byRoom.get(roomId) ?? []).map(stateRecordToStrippedJson) : told === '' ? [] : [told]
      if (member) texts.push(stateRecordToClientJson(member))
      return `${JSON.stringify(roomId)}:{"${section}":{"events":[${texts.join(',')}]}}`
    })
  }
}

function stateText(state: readonly string[], request: SyncRequest): string {
  return request.usesStateAfter ? `"state_after":{"events":[${state.join(',')}]}` : `"state":{"events":[${state.join(',')}]}`
}

function timelineText(
  timeline: Timeline,
  texts: ReadonlyMap<Timeline['items'][number], string>,
  end: SyncToken,
  outsideEnd = '',
): string {
  const first = timeline.items[0]
  const events = [...timeline.items.map((item) => texts.get(item) ?? ''), outsideEnd].filter((text) => text !== '')
  // What is filled in before an event later on stands after the position before it.
  const before = placeToToken(first ? placeBefore(first.position) : end.events)
  const prevBatch = formatRoomPosition({ events: before.events as StreamPosition, eventLanes: undefined, depth: before.depth })
  return `{"events":[${events.join(',')}],"limited":${timeline.isLimited},"prev_batch":"${prevBatch}"}`
}

function ephemeralTexts(roomId: RoomId, frame: SyncFrame): string[] {
  const { filter } = frame.request
  const texts: string[] = []
  const receipts = frame.receipts.get(roomId)
  if (receipts !== undefined && filter.room.ephemeral.matches({ type: 'm.receipt', roomId }))
    texts.push(`{"type":"m.receipt","content":${receipts}}`)
  const typing = frame.typing.get(roomId)
  if (typing !== undefined && filter.room.ephemeral.matches({ type: 'm.typing', roomId })) {
    const userIds = typing.filter((userId) => !frame.ignoredUsers.has(userId))
    texts.push(`{"type":"m.typing","content":{"user_ids":${JSON.stringify(userIds)}}}`)
  }
  return texts
}

function accountDataTexts(roomId: RoomId, frame: SyncFrame): string[] {
  return (frame.accountData.rooms.get(roomId) ?? [])
    .filter((item) => frame.request.filter.room.accountData.matches({ type: item.type, roomId }))
    .map((item) => `{"type":${JSON.stringify(item.type)},"content":${item.contentJson}}`)
}

function countsText(
  count:
    | {
        notificationCount: number
        highlightCount: number
        threads: ReadonlyMap<string, { notificationCount: number; highlightCount: number }>
      }
    | undefined,
  request: SyncRequest,
): string {
  let notificationCount = count?.notificationCount ?? 0
  let highlightCount = count?.highlightCount ?? 0
  const threads = [...(count?.threads ?? [])]
  if (request.filter.room.timeline.unreadThreadNotifications) {
    const members = threads.map(
      ([threadId, one]) =>
        `${JSON.stringify(threadId)}:{"notification_count":${one.notificationCount},"highlight_count":${one.highlightCount}}`,
    )
    const threadText = members.length > 0 ? `,"unread_thread_notifications":{${members.join(',')}}` : ''
    return `"unread_notifications":{"notification_count":${notificationCount},"highlight_count":${highlightCount}}${threadText}`
  }
  // Clients that do not ask for threads see one count of everything.
  for (const [, one] of threads) {
    notificationCount += one.notificationCount
    highlightCount += one.highlightCount
  }
  return `"unread_notifications":{"notification_count":${notificationCount},"highlight_count":${highlightCount}}`
}
