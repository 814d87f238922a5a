import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { EventRow, ReceiptStreamRow, StreamPosition } from '../../streams/streams.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'
import { isImplicitReceipt } from './implicit-receipt.ts'
import { EVERYBODY } from './push-actions.ts'
import type { PushBaseline } from './push-actions.ts'
import type { PushRules } from './push-rules.ts'
import { queryUnreadCounts } from './unread-query.ts'
import type { RoomUnreadCounts, UnreadCount } from './unread-query.ts'

/*
 * Counts in memory. A room has running totals of what users on default rules are notified of, per thread; they start at
 * zero when the room is first asked for. A user's count in the room is total + correction, where the correction was found
 * by one query and then follows what concerns the user alone: his push actions, his messages, his receipts. So a new
 * message costs one addition for the room, however many users count there.
 *
 *            room total   5 .. 6 .. 7          (three messages: one addition each)
 *   alice:   5 - 3 = 2    correction -3        counts 2 .. 3 .. 4
 *   bob:     5 - 5 = 0    correction -5        counts 0 .. 1 .. 2
 *
 * A user whose baseline is `none` has no total: his correction is his count.
 */

const USERS_MAX = 50_000
const ROOMS_MAX = 50_000
const THREADS_PER_ROOM_MAX = 2_000
/** The main timeline among the threads. */
const MAIN = ''

interface Tally {
  notify: number
  highlight: number
}

interface RoomTotals {
  readonly threads: Map<string, Tally>
  /** Position of the room's newest event, or one after it. */
  lastPosition: number
}

interface Entry {
  readonly totals: RoomTotals
  readonly baseline: PushBaseline
  readonly corrections: Map<string, Tally>
}

/** A query under way, and the rooms whose answer is out of date by now. */
interface Load {
  readonly stale: Set<RoomId>
  isAllStale: boolean
}

/** Counts unread notifications and highlights per room and thread (design: sync and push, section 3). */
export class UnreadCounts {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #pushRules: PushRules
  readonly #rooms = cacheOfEntries<RoomId, RoomTotals>(ROOMS_MAX)
  readonly #users = cacheOfEntries<UserId, Map<RoomId, Entry>>(USERS_MAX)
  readonly #loads = new Map<UserId, Set<Load>>()

  constructor(deps: { database: Database; hub: StreamHub; pushRules: PushRules }) {
    this.#database = deps.database
    this.#hub = deps.hub
    this.#pushRules = deps.pushRules
    deps.hub.onRow('events', (row, position) => this.#applyEvent(row, position))
    deps.hub.onRow('receipts', (row) => this.#applyReceipt(row))
    deps.hub.onRow('push_rules', (row) => this.#forgetUser(row.userId as UserId))
    for (const stream of ['events', 'receipts', 'push_rules'] as const) deps.hub.onReset(stream, () => this.#forgetAll())
    deps.hub.onPurge(({ roomId }) => this.#forgetRoom(roomId as RoomId))
  }

  /**
   * The user's counts in rooms that he is joined to: those of the main timeline, and of each thread with unread
   * notifications. From memory but for rooms that were not asked for lately.
   */
  async getForRooms({ userId, roomIds }: { userId: UserId; roomIds: readonly RoomId[] }): Promise<Map<RoomId, RoomUnreadCounts>> {
    const counts = new Map<RoomId, RoomUnreadCounts>()
    const missing: RoomId[] = []
    for (const roomId of roomIds) {
      const entry = this.#entryOf(userId, roomId)
      if (entry) counts.set(roomId, countUp(entry))
      else missing.push(roomId)
    }
    if (missing.length > 0) for (const [roomId, count] of await this.#load(userId, missing)) counts.set(roomId, count)
    return counts
  }

  #entryOf(userId: UserId, roomId: RoomId): Entry | undefined {
    const entry = this.#users.get(userId)?.get(roomId)
    // Totals that were pushed out of memory and made anew have another zero.
    return entry && entry.totals === this.#rooms.get(roomId) ? entry : undefined
  }

  async #load(userId: UserId, roomIds: readonly RoomId[]): Promise<Map<RoomId, RoomUnreadCounts>> {
    const upTo = this.#hub.head('events')
    const before = new Map(
      roomIds.map((roomId) => {
        const totals = this.#totalsOf(roomId, upTo)
        return [roomId, { totals, threads: copyTallies(totals.threads) }] as const
      }),
    )
    const load: Load = { stale: new Set(), isAllStale: false }
    const loads = this.#loads.get(userId) ?? new Set<Load>()
    this.#loads.set(userId, loads.add(load))
    try {
      const rules = await this.#pushRules.get(userId)
      const baselineOf = (roomId: RoomId): PushBaseline => rules.profileFor(roomId).baseline
      const counts = await queryUnreadCounts(this.#database, { userId, roomIds, upTo, baselineOf })
      for (const [roomId, { totals, threads }] of before) {
        const count = counts.get(roomId)
        if (!count || load.isAllStale || load.stale.has(roomId) || this.#rooms.peek(roomId) !== totals) continue
        const entry = buildEntry(totals, threads, baselineOf(roomId), count)
        this.#remember(userId, roomId, entry)
        // What arrived meanwhile is in the totals, so it is better than what was read.
        counts.set(roomId, countUp(entry))
      }
      return counts
    } finally {
      loads.delete(load)
      if (loads.size === 0) this.#loads.delete(userId)
    }
  }

  #totalsOf(roomId: RoomId, head: StreamPosition): RoomTotals {
    const known = this.#rooms.get(roomId)
    if (known) return known
    const totals: RoomTotals = { threads: new Map(), lastPosition: head }
    this.#rooms.set(roomId, totals)
    return totals
  }

  #remember(userId: UserId, roomId: RoomId, entry: Entry): void {
    const rooms = this.#users.get(userId)
    if (rooms) rooms.set(roomId, entry)
    else this.#users.set(userId, new Map([[roomId, entry]]))
  }

  #applyEvent(row: EventRow, position: StreamPosition): void {
    const roomId = row.roomId as RoomId
    const totals = this.#rooms.peek(roomId)
    if (totals) {
      totals.lastPosition = position
      this.#addToTotals(roomId, totals, row)
    }
    const thread = row.push.threadId ?? MAIN
    for (const action of row.push.actions) {
      if (action.userId === EVERYBODY) continue
      const userId = action.userId as UserId
      if (action.kind === 'join') this.#forget(userId, roomId)
      else this.#correct(userId, roomId, thread, action)
    }
    if (isImplicitReceipt({ type: row.type, stateKey: row.stateKey, relationType: row.relation?.type })) {
      this.#markRead(row.sender as UserId, roomId, thread)
    }
  }

  #addToTotals(roomId: RoomId, totals: RoomTotals, { push }: EventRow): void {
    const isHighlight = push.actions.some((action) => action.userId === EVERYBODY && action.isHighlight)
    if (!push.isNotifying && !isHighlight) return
    const tally = tallyOf(totals.threads, push.threadId ?? MAIN)
    if (push.isNotifying) tally.notify += 1
    if (isHighlight) tally.highlight += 1
    if (totals.threads.size > THREADS_PER_ROOM_MAX) this.#rooms.delete(roomId)
  }

  #correct(userId: UserId, roomId: RoomId, thread: string, action: EventRow['push']['actions'][number]): void {
    this.#markLoads(userId, roomId)
    const entry = this.#users.peek(userId)?.get(roomId)
    if (!entry) return
    const correction = tallyOf(entry.corrections, thread)
    const { isNotify, isHighlight, isClassNotify, isClassHighlight } = action
    correction.notify += Number(isNotify) - (entry.baseline === 'class' ? Number(isClassNotify) : 0)
    correction.highlight += Number(isHighlight) - (entry.baseline === 'class' ? Number(isClassHighlight) : 0)
  }

  #applyReceipt(row: ReceiptStreamRow): void {
    if (row.receiptType !== 'm.read' && row.receiptType !== 'm.read.private') return
    const userId = row.userId as UserId
    const roomId = row.roomId as RoomId
    const entry = this.#users.peek(userId)?.get(roomId)
    if (!entry || row.eventPosition < entry.totals.lastPosition) {
      this.#forget(userId, roomId)
      return
    }
    // Everything is read: no need to ask the database how much is left.
    const threads =
      row.threadId === undefined ? new Set([...entry.totals.threads.keys(), ...entry.corrections.keys()]) : [row.threadId]
    for (const thread of threads) this.#markRead(userId, roomId, thread === 'main' ? MAIN : thread)
  }

  /** The user has read all of the thread. */
  #markRead(userId: UserId, roomId: RoomId, thread: string): void {
    this.#markLoads(userId, roomId)
    const entry = this.#users.peek(userId)?.get(roomId)
    if (!entry) return
    const total = entry.baseline === 'class' ? entry.totals.threads.get(thread) : undefined
    const correction = tallyOf(entry.corrections, thread)
    correction.notify = -(total?.notify ?? 0)
    correction.highlight = -(total?.highlight ?? 0)
  }

  #forget(userId: UserId, roomId: RoomId): void {
    this.#markLoads(userId, roomId)
    this.#users.peek(userId)?.delete(roomId)
  }

  #forgetUser(userId: UserId): void {
    this.#users.delete(userId)
    for (const load of this.#loads.get(userId) ?? []) load.isAllStale = true
  }

  /** Users' counts hang on the room's totals: without those, they are read anew. */
  #forgetRoom(roomId: RoomId): void {
    this.#rooms.delete(roomId)
    for (const loads of this.#loads.values()) for (const load of loads) load.stale.add(roomId)
  }

  #forgetAll(): void {
    this.#users.clear()
    this.#rooms.clear()
    for (const loads of this.#loads.values()) for (const load of loads) load.isAllStale = true
  }

  #markLoads(userId: UserId, roomId: RoomId): void {
    for (const load of this.#loads.get(userId) ?? []) load.stale.add(roomId)
  }
}

function tallyOf(threads: Map<string, Tally>, thread: string): Tally {
  let tally = threads.get(thread)
  if (!tally) {
    tally = { notify: 0, highlight: 0 }
    threads.set(thread, tally)
  }
  return tally
}

function copyTallies(threads: ReadonlyMap<string, Tally>): Map<string, Tally> {
  return new Map([...threads].map(([thread, tally]) => [thread, { ...tally }]))
}

/** `before` are the totals as of the count. */
function buildEntry(
  totals: RoomTotals,
  before: ReadonlyMap<string, Tally>,
  baseline: PushBaseline,
  count: RoomUnreadCounts,
): Entry {
  const corrections = new Map<string, Tally>()
  const set = (thread: string, counted: UnreadCount | undefined): void => {
    const total = baseline === 'class' ? before.get(thread) : undefined
    corrections.set(thread, {
      notify: (counted?.notificationCount ?? 0) - (total?.notify ?? 0),
      highlight: (counted?.highlightCount ?? 0) - (total?.highlight ?? 0),
    })
  }
  for (const thread of before.keys()) if (thread !== MAIN) set(thread, count.threads.get(thread))
  for (const [thread, counted] of count.threads) set(thread, counted)
  set(MAIN, count)
  return { totals, baseline, corrections }
}

function countUp(entry: Entry): RoomUnreadCounts {
  const threads = new Map<string, UnreadCount>()
  const add = (thread: string): void => {
    if (thread === MAIN || threads.has(thread)) return
    const count = countThread(entry, thread)
    if (count.notificationCount > 0) threads.set(thread, count)
  }
  for (const thread of entry.corrections.keys()) add(thread)
  if (entry.baseline === 'class') for (const thread of entry.totals.threads.keys()) add(thread)
  return { ...countThread(entry, MAIN), threads }
}

function countThread(entry: Entry, thread: string): UnreadCount {
  const total = entry.baseline === 'class' ? entry.totals.threads.get(thread) : undefined
  const correction = entry.corrections.get(thread)
  return {
    notificationCount: (total?.notify ?? 0) + (correction?.notify ?? 0),
    highlightCount: (total?.highlight ?? 0) + (correction?.highlight ?? 0),
  }
}
