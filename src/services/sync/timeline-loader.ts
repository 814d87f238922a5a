import type { EventFilter } from '../../protocol/filters/event-filter.ts'
import { canSeeEvents, parseHistoryVisibility, parseMembership } from '../../protocol/history-visibility.ts'
import type { Membership } from '../../protocol/history-visibility.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { getRecentTimelines, getTimeline } from '../../storage/tables/events.ts'
import { getVisibilityHistory } from '../../storage/tables/room-state.ts'
import type { SlotInterval } from '../../storage/tables/room-state.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { EventReader, StoredEvent } from '../events/event-reader.ts'
import type { RecentEvent, RoomTimelines } from './room-timelines.ts'

/** A filter that keeps little may make us read this many pages. */
const PAGES_MAX = 5
const PAGE_EVENTS_MIN = 50

/** One event of a timeline: from memory in client format, or from the database. */
export interface TimelineItem {
  readonly position: number
  readonly eventId: string
  readonly type: string
  readonly stateKey: string | undefined
  readonly sender: string
  readonly recent: RecentEvent | undefined
  readonly stored: StoredEvent | undefined
  /** The reader's membership after the event, for `unsigned.membership` (MSC4115). */
  readonly membership: string
}

export interface Timeline {
  /** Oldest first. */
  readonly items: readonly TimelineItem[]
  /** There is more between the start of the range and the first item. */
  readonly isLimited: boolean
}

/** Which part of a room's timeline is wanted: the newest `limit` events in (after, upTo]. */
export interface TimelineRange {
  readonly roomId: RoomId
  readonly after: StreamPosition
  readonly upTo: StreamPosition
}

export interface TimelineWish {
  readonly filter: EventFilter
  readonly userId: UserId
  readonly ignoredUsers: ReadonlySet<string>
}

/** Loads timelines of many rooms: from memory where it reaches back, else all in one query. */
export class TimelineLoader {
  readonly #database: Database
  readonly #events: EventReader
  readonly #timelines: RoomTimelines

  constructor(deps: { database: Database; events: EventReader; timelines: RoomTimelines }) {
    this.#database = deps.database
    this.#events = deps.events
    this.#timelines = deps.timelines
  }

  /**
   * Loads the ranges. Where `checksVisibility` holds, events that the user may not see are left out; a member who was joined
   * for the whole range sees everything, so it need not be asked there.
   */
  async load(
    ranges: readonly TimelineRange[],
    wish: TimelineWish,
    options: { readonly checksVisibility: boolean },
  ): Promise<Map<RoomId, Timeline>> {
    const timelines = new Map<RoomId, Timeline>()
    const missing: TimelineRange[] = []
    for (const range of ranges) {
      const recent = options.checksVisibility ? undefined : this.#timelines.getSince(range.roomId, range.after, range.upTo)
      if (recent)
        timelines.set(
          range.roomId,
          cut(
            recent
              .filter(({ row }) => !row.isHidden)
              .map(itemOfRecent)
              .filter((item) => isWanted(item, range.roomId, wish)),
            wish.filter.limit,
          ),
        )
      else missing.push(range)
    }
    if (missing.length > 0) await this.#loadStored(missing, wish, options, timelines)
    return timelines
  }

  async #loadStored(
    ranges: readonly TimelineRange[],
    wish: TimelineWish,
    options: { readonly checksVisibility: boolean },
    timelines: Map<RoomId, Timeline>,
  ): Promise<void> {
    const histories = options.checksVisibility ? await this.#getHistories(ranges, wish.userId) : undefined
    const isWholeUpToOnePosition = ranges.every((range) => range.upTo === ranges[0]?.upTo)
    if (wish.filter.matchesEverything && isWholeUpToOnePosition && ranges.length > 1) {
      const pageSize = wish.filter.limit + 1
      const records = await getRecentTimelines(this.#database, {
        roomIds: ranges.map((range) => range.roomId),
        high: ranges[0]?.upTo ?? 0,
        limit: pageSize,
      })
      const byRoom = Map.groupBy(records, (record) => record.roomId)
      for (const range of ranges) {
        const page = (byRoom.get(range.roomId) ?? []).filter((record) => record.position > range.after)
        const items = page.map((record) => itemOfStored(this.#events.remember(record), record.position)).reverse()
        const visible = readerItems(items, histories?.get(range.roomId), wish).filter((item) =>
          isWanted(item, range.roomId, wish),
        )
        timelines.set(range.roomId, cut(visible, wish.filter.limit))
      }
      return
    }
    await Promise.all(
      ranges.map(async (range) => {
        timelines.set(range.roomId, await this.#loadOne(range, wish, histories?.get(range.roomId)))
      }),
    )
  }

  /** Reads backwards, page by page, until the filter is satisfied or the range is exhausted. */
  async #loadOne(range: TimelineRange, wish: TimelineWish, history: readonly SlotInterval[] | undefined): Promise<Timeline> {
    const pageSize = wish.filter.matchesEverything ? wish.filter.limit + 1 : Math.max(PAGE_EVENTS_MIN, wish.filter.limit * 2)
    const found: TimelineItem[] = []
    let high: number = range.upTo
    for (let page = 0; page < PAGES_MAX; page++) {
      const records = await getTimeline(this.#database, {
        roomId: range.roomId,
        low: range.after + 1,
        high,
        direction: 'b',
        limit: pageSize,
      })
      const items = records.map((record) => itemOfStored(this.#events.remember(record), record.position))
      found.push(...readerItems(items, history, wish).filter((item) => isWanted(item, range.roomId, wish)))
      if (records.length < pageSize) return cut(found.reverse(), wish.filter.limit)
      if (found.length > wish.filter.limit) break
      high = (records.at(-1)?.position ?? 1) - 1
    }
    return { ...cut(found.reverse(), wish.filter.limit), isLimited: true }
  }

  async #getHistories(ranges: readonly TimelineRange[], userId: UserId): Promise<Map<RoomId, SlotInterval[]>> {
    const intervals = await getVisibilityHistory(this.#database, { roomIds: ranges.map((range) => range.roomId), userId })
    return Map.groupBy(intervals, (interval) => interval.roomId)
  }
}

function cut(items: readonly TimelineItem[], limit: number): Timeline {
  return items.length > limit ? { items: limit === 0 ? [] : items.slice(-limit), isLimited: true } : { items, isLimited: false }
}

function itemOfRecent(recent: RecentEvent): TimelineItem {
  const { eventId, type, stateKey, sender } = recent.row
  return { position: recent.position, eventId, type, stateKey, sender, recent, stored: undefined, membership: 'join' }
}

function itemOfStored(stored: StoredEvent, position: number): TimelineItem {
  const { eventId, type, stateKey, sender } = stored.event
  return { position, eventId, type, stateKey, sender, recent: undefined, stored, membership: 'join' }
}

function isWanted(item: TimelineItem, roomId: RoomId, wish: TimelineWish): boolean {
  // Ignored users' state stays: without it the room would look wrong. Spec: client-server-api § Ignoring Users.
  if (item.stateKey === undefined && wish.ignoredUsers.has(item.sender)) return false
  if (wish.filter.matchesEverything) return true
  return wish.filter.matches({ type: item.type, sender: item.sender, roomId, content: contentOf(item) })
}

function contentOf(item: TimelineItem): JsonObject | undefined {
  if (item.stored) return item.stored.event.content
  const parsed: unknown = item.recent ? JSON.parse(`${item.recent.row.clientJson}}`) : undefined
  const content = isJsonObject(parsed) ? parsed['content'] : undefined
  return isJsonObject(content) ? content : undefined
}

/** What the reader may see, with their membership at each event. Without a history they were joined all the time. */
function readerItems(
  items: readonly TimelineItem[],
  history: readonly SlotInterval[] | undefined,
  wish: TimelineWish,
): readonly TimelineItem[] {
  if (history === undefined) return items
  const memberships = membershipsOf(history)
  return filterVisible(items, history, wish).map((item) => ({
    ...item,
    membership: memberships.findLast((entry) => entry.fromPos <= item.position)?.membership ?? 'leave',
  }))
}

function membershipsOf(history: readonly SlotInterval[]): { fromPos: number; membership: Membership }[] {
  return history
    .filter((interval) => interval.type === 'm.room.member')
    .map((interval) => ({ fromPos: interval.fromPos, membership: parseMembership(contentOfJson(interval.json)) }))
}

/** Leaves out what the user may not see, from the intervals of visibility and of the user's membership. */
export function filterVisible<
  Item extends { readonly position: number; readonly type: string; readonly stateKey: string | undefined },
>(items: readonly Item[], history: readonly SlotInterval[] | undefined, reader: { readonly userId: UserId }): readonly Item[] {
  if (history === undefined) return items
  const memberships = membershipsOf(history)
  const visibilities = history
    .filter((interval) => interval.type === 'm.room.history_visibility')
    .map((interval) => ({ fromPos: interval.fromPos, visibility: parseHistoryVisibility(contentOfJson(interval.json)) }))
  const visible = canSeeEvents(
    items.map((item) => ({
      position: item.position,
      changes:
        item.type === 'm.room.member' && item.stateKey === reader.userId
          ? 'own_membership'
          : item.type === 'm.room.history_visibility' && item.stateKey === ''
            ? 'visibility'
            : undefined,
    })),
    memberships,
    visibilities,
  )
  return items.filter((_item, index) => visible[index])
}

function contentOfJson(json: string): JsonObject | undefined {
  const parsed: unknown = JSON.parse(json)
  const content = isJsonObject(parsed) ? parsed['content'] : undefined
  return isJsonObject(content) ? content : undefined
}
