import type { LRUCache } from 'lru-cache'
import { stateSlotKey } from '../../protocol/events/event.ts'
import type { EventFilter } from '../../protocol/filters/event-filter.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getStateDeltas, getStatesAsOf } from '../../storage/tables/sync-state.ts'
import { cacheOfBytes, cacheOfEntries } from '../../util/lru-cache.ts'
import { stateRecordToClientJson, stateRecordToEvent } from '../events/state-records.ts'
import type { RoomStateRecord } from '../events/state-records.ts'
import type { Timeline } from './timeline-loader.ts'
import { keyOf } from './member-events.ts'
import type { MemberEvents } from './member-events.ts'

/** Memory for state blocks over all rooms. */
const BLOCKS_BYTES_MAX = 24 * 1024 * 1024
/** What a string takes besides its characters. */
const TEXT_BYTES = 24
const LAZY_SETS_MAX = 50_000

/** What the state section of a room has to tell. */
export interface StateWish {
  readonly roomId: RoomId
  readonly timeline: Timeline
  /** `full`: the state as of `upTo`; `delta`: what changed in (after, upTo]; `none`: nothing but lazily loaded members. */
  readonly kind: 'full' | 'delta' | 'none'
  readonly after: number
  readonly upTo: number
  /** Set where the state also changed in (upTo, forkedUpTo] by what the timeline does not show: that is told too. */
  readonly forkedUpTo: number | undefined
  /** Members that the client needs although nobody of them speaks: heroes. */
  readonly extraMembers: readonly UserId[]
}

export interface StateReader {
  readonly userId: UserId
  readonly deviceKey: string
  readonly filter: EventFilter
}

/** Makes the state sections of many rooms in one or two queries. */
export class StateSections {
  readonly #database: Database
  readonly #memberEvents: MemberEvents
  /** A room's whole state as of a position never changes, and is the same for all its members. */
  readonly #blocks: LRUCache<string, readonly string[]>
  /** Which members a device has been told of, per room (lazy loading without redundant members). */
  readonly #toldMembers = cacheOfEntries<string, Set<string>>(LAZY_SETS_MAX)

  /** `cacheFactor` multiplies the memory that its cache may take. */
  constructor(deps: { database: Database; memberEvents: MemberEvents; cacheFactor?: number }) {
    this.#blocks = cacheOfBytes(BLOCKS_BYTES_MAX * (deps.cacheFactor ?? 1), (texts) =>
      texts.reduce((sum, text) => sum + TEXT_BYTES + text.length, 0),
    )
    this.#database = deps.database
    this.#memberEvents = deps.memberEvents
  }

  /** Returns for each room the JSON texts of its state events. */
  async make(wishes: readonly StateWish[], reader: StateReader): Promise<Map<RoomId, readonly string[]>> {
    const sections = new Map<RoomId, readonly string[]>()
    if (reader.filter.matchesNothing) return sections
    const isLazy = reader.filter.lazyLoadMembers
    const changedMembers = new Map<RoomId, ReadonlySet<string>>()
    const full = wishes.filter((wish) => wish.kind === 'full')
    const delta = wishes.filter((wish) => wish.kind === 'delta' && wish.upTo > wish.after)
    const forked = await this.#loadForked(wishes)
    for (const [roomId, records] of forked)
      sections.set(roomId, records.filter((record) => isWanted(record, reader.filter)).map(stateRecordToClientJson))
    await Promise.all([
      this.#makeFull(full, reader, sections, forked),
      this.#makeDelta(delta, reader, sections, changedMembers, forked),
    ])
    if (isLazy)
      await this.#addLazyMembers(
        wishes.filter((wish) => wish.kind !== 'full'),
        reader,
        sections,
        changedMembers,
      )
    return sections
  }

  /** What slots hold at the end that changed while the timeline ran, if the timeline does not have the event. */
  async #loadForked(wishes: readonly StateWish[]): Promise<Map<RoomId, readonly RoomStateRecord[]>> {
    const ranges = wishes.flatMap(({ roomId, upTo, forkedUpTo }) =>
      forkedUpTo === undefined ? [] : [{ roomId, after: upTo, upTo: forkedUpTo }],
    )
    if (ranges.length === 0) return new Map()
    const records = Map.groupBy(await getStateDeltas(this.#database, ranges), (record) => record.roomId)
    return new Map(
      wishes.flatMap(({ roomId, timeline }) => {
        const shown = new Set(timeline.items.map((item) => item.eventId))
        const hidden = (records.get(roomId) ?? []).filter((record) => !shown.has(record.eventId))
        return hidden.length === 0 ? [] : [[roomId, hidden] as const]
      }),
    )
  }

  async #makeFull(
    wishes: readonly StateWish[],
    reader: StateReader,
    sections: Map<RoomId, readonly string[]>,
    forked: ReadonlyMap<RoomId, readonly RoomStateRecord[]>,
  ): Promise<void> {
    const isLazy = reader.filter.lazyLoadMembers
    const isCacheable = !isLazy && reader.filter.matchesEverything
    const missing: StateWish[] = []
    for (const wish of wishes) {
      const block = isCacheable && !forked.has(wish.roomId) ? this.#blocks.get(`${wish.roomId} ${wish.upTo}`) : undefined
      if (block) sections.set(wish.roomId, block)
      else missing.push(wish)
    }
    if (missing.length === 0) return
    const neededByRoom = new Map(missing.map((wish) => [wish.roomId, isLazy ? neededMembers(wish, reader) : undefined]))
    const members = isLazy ? [...new Set([...neededByRoom.values()].flatMap((needed) => [...(needed ?? [])]))] : undefined
    const records = await getStatesAsOf(this.#database, {
      rooms: missing.map((wish) => ({ roomId: wish.roomId, position: wish.upTo })),
      members,
    })
    const byRoom = Map.groupBy(records, (record) => record.roomId)
    for (const wish of missing) {
      const needed = neededByRoom.get(wish.roomId)
      const own = forked.get(wish.roomId)
      const wanted = replaceSlots(byRoom.get(wish.roomId) ?? [], own).filter(
        (record) =>
          (needed === undefined || record.type !== 'm.room.member' || needed.has(record.stateKey)) &&
          isWanted(record, reader.filter),
      )
      const texts = wanted.map(stateRecordToClientJson)
      sections.set(wish.roomId, texts)
      if (isCacheable && !own) this.#blocks.set(`${wish.roomId} ${wish.upTo}`, texts)
      if (needed) this.#toldMembers.set(toldKey(reader, wish.roomId), new Set(needed))
    }
  }

  async #makeDelta(
    wishes: readonly StateWish[],
    reader: StateReader,
    sections: Map<RoomId, readonly string[]>,
    changedMembers: Map<RoomId, ReadonlySet<string>>,
    forked: ReadonlyMap<RoomId, readonly RoomStateRecord[]>,
  ): Promise<void> {
    if (wishes.length === 0) return
    const records = await getStateDeltas(
      this.#database,
      wishes.map((wish) => ({ roomId: wish.roomId, after: wish.after, upTo: wish.upTo })),
    )
    for (const [roomId, group] of Map.groupBy(records, (record) => record.roomId)) {
      const wanted = replaceSlots(group, forked.get(roomId)).filter((record) => isWanted(record, reader.filter))
      changedMembers.set(
        roomId,
        new Set(wanted.filter((record) => record.type === 'm.room.member').map((record) => record.stateKey)),
      )
      sections.set(roomId, wanted.map(stateRecordToClientJson))
    }
  }

  /** Adds the member events of those who speak in the timeline and whom the device does not know yet. */
  async #addLazyMembers(
    wishes: readonly StateWish[],
    reader: StateReader,
    sections: Map<RoomId, readonly string[]>,
    changedMembers: ReadonlyMap<RoomId, ReadonlySet<string>>,
  ): Promise<void> {
    const pairs: { roomId: RoomId; userId: UserId }[] = []
    for (const wish of wishes) {
      const key = toldKey(reader, wish.roomId)
      const told = this.#toldMembers.get(key) ?? new Set<string>()
      this.#toldMembers.set(key, told)
      const inTimeline = new Set(wish.timeline.items.filter((item) => item.type === 'm.room.member').map((item) => item.stateKey))
      const present = changedMembers.get(wish.roomId)
      for (const userId of neededMembers(wish, reader)) {
        if (inTimeline.has(userId) || present?.has(userId)) told.add(userId)
        else if (!told.has(userId) || reader.filter.includeRedundantMembers)
          pairs.push({ roomId: wish.roomId, userId: userId as UserId })
      }
    }
    if (pairs.length === 0) return
    const found = await this.#memberEvents.get(pairs)
    for (const { roomId, userId } of pairs) {
      const json = found.get(keyOf(roomId, userId))
      if (json === undefined) continue
      this.#toldMembers.get(toldKey(reader, roomId))?.add(userId)
      sections.set(roomId, [...(sections.get(roomId) ?? []), json])
    }
  }
}

function toldKey(reader: StateReader, roomId: RoomId): string {
  return `${reader.userId} ${reader.deviceKey} ${roomId}`
}

function neededMembers(wish: StateWish, reader: StateReader): Set<string> {
  const needed = new Set<string>(wish.extraMembers)
  if (wish.kind === 'full') needed.add(reader.userId)
  for (const item of wish.timeline.items) needed.add(item.sender)
  return needed
}

/** The records with those of other slots instead, where the slot is the same. */
function replaceSlots(
  records: readonly RoomStateRecord[],
  others: readonly RoomStateRecord[] | undefined,
): readonly RoomStateRecord[] {
  if (!others) return records
  const slots = new Set(others.map((record) => stateSlotKey(record.type, record.stateKey)))
  return [...records.filter((record) => !slots.has(stateSlotKey(record.type, record.stateKey))), ...others]
}

function isWanted(record: RoomStateRecord, filter: EventFilter): boolean {
  if (filter.matchesEverything) return true
  const event = stateRecordToEvent(record)
  return filter.matches({ type: event.type, sender: event.sender, roomId: record.roomId, content: event.content })
}
