import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getOwnReadReceipts, getRoomReadPoints, getSentInThreads, sumPushActions } from '../../storage/tables/unread-counts.ts'
import type { OwnReadReceipt, PushActionSums, ReadPoint, RoomReadPoints } from '../../storage/tables/unread-counts.ts'
import type { PushBaseline } from './push-actions.ts'

/** Notifications of one thread or main timeline that the user has not read. */
export interface UnreadCount {
  readonly notificationCount: number
  readonly highlightCount: number
}

/** Counts of a room. `notificationCount` and `highlightCount` are those of the main timeline alone. */
export interface RoomUnreadCounts extends UnreadCount {
  /** By thread root; threads without unread notifications are left out. */
  readonly threads: ReadonlyMap<string, UnreadCount>
}

/** How far the user has read of one room. */
export interface RoomReading {
  readonly roomId: string
  readonly headOrdinal: number
  /** Everything up to here is read, in threads too. */
  readonly base: ReadPoint
  readonly main: ReadPoint
}

const NOTHING_READ: ReadPoint = { position: 0, ordinal: 0 }

/** How far the user has read of some rooms. */
export interface Readings {
  readonly rooms: readonly RoomReading[]
  readonly threads: readonly { readonly roomId: string; readonly threadId: string; readonly position: number }[]
}

/** Reads how far the user has read, by receipts, own messages and joins. Three statements at once. */
export async function queryReadings(
  database: Database,
  of: { userId: UserId; roomIds: readonly RoomId[]; upTo: number },
): Promise<Readings> {
  const [points, receipts, sent] = await Promise.all([
    getRoomReadPoints(database, of),
    getOwnReadReceipts(database, of),
    getSentInThreads(database, of),
  ])
  const receiptsByRoom = Map.groupBy(receipts, (receipt) => receipt.roomId)
  return {
    rooms: points.map((point) => findReading(point, receiptsByRoom.get(point.roomId) ?? [])),
    threads: mergeThreads([...receipts.filter((receipt) => receipt.threadId !== '' && receipt.threadId !== 'main'), ...sent]),
  }
}

/** Counts from the database what the user has not read of rooms, as of the position `upTo`. */
export async function queryUnreadCounts(
  database: Database,
  of: { userId: UserId; roomIds: readonly RoomId[]; upTo: number; baselineOf: (roomId: RoomId) => PushBaseline },
): Promise<Map<RoomId, RoomUnreadCounts>> {
  const { rooms, threads } = await queryReadings(database, of)
  const sums = await sumPushActions(database, {
    userId: of.userId,
    upTo: of.upTo,
    rooms: rooms.map((room) => ({ roomId: room.roomId, base: room.base.position, main: room.main.position })),
    threads,
  })
  const sumsByRoom = Map.groupBy(sums, (sum) => sum.roomId)
  return new Map(
    rooms.map((room) => {
      const roomId = room.roomId as RoomId
      return [roomId, addUp(room, sumsByRoom.get(roomId) ?? [], of.baselineOf(roomId))]
    }),
  )
}

function findReading(point: RoomReadPoints, receipts: readonly OwnReadReceipt[]): RoomReading {
  const receiptOf = (threadId: string): ReadPoint => receipts.find((receipt) => receipt.threadId === threadId) ?? NOTHING_READ
  const purged = { position: point.purgedPosition, ordinal: point.purgedOrdinal }
  const base = later(later({ position: point.joinPosition, ordinal: point.joinOrdinal }, receiptOf('')), purged)
  const main = later(later(base, receiptOf('main')), { position: point.sentPosition, ordinal: point.sentOrdinal })
  return { roomId: point.roomId, headOrdinal: point.headOrdinal, base, main }
}

function later(a: ReadPoint, b: ReadPoint): ReadPoint {
  return a.position >= b.position ? a : b
}

/** One read point per thread: the furthest. */
function mergeThreads(
  points: readonly { roomId: string; threadId: string; position: number }[],
): { roomId: string; threadId: string; position: number }[] {
  const furthest = new Map<string, { roomId: string; threadId: string; position: number }>()
  for (const point of points) {
    const key = `${point.roomId} ${point.threadId}`
    const known = furthest.get(key)
    if (!known || known.position < point.position) furthest.set(key, point)
  }
  return [...furthest.values()]
}

function addUp(room: RoomReading, sums: readonly PushActionSums[], baseline: PushBaseline): RoomUnreadCounts {
  const threads = new Map<string, UnreadCount>()
  let main: PushActionSums | undefined
  let inThreads = 0
  for (const sum of sums) {
    inThreads += sum.classNotifyAfterMain
    if (sum.threadId === '') {
      main = sum
      continue
    }
    const count =
      baseline === 'class'
        ? { notificationCount: sum.classNotify + sum.deltaNotify, highlightCount: sum.classHighlight + sum.deltaHighlight }
        : { notificationCount: sum.ownNotify, highlightCount: sum.ownHighlight }
    if (count.notificationCount > 0) threads.set(sum.threadId, count)
  }
  if (baseline === 'none') return { notificationCount: main?.ownNotify ?? 0, highlightCount: main?.ownHighlight ?? 0, threads }
  // A receipt may stand ahead of what this process has applied.
  const inMain = Math.max(0, room.headOrdinal - room.main.ordinal) - inThreads
  return {
    notificationCount: Math.max(0, inMain + (main?.deltaNotify ?? 0)),
    highlightCount: (main?.classHighlight ?? 0) + (main?.deltaHighlight ?? 0),
    threads,
  }
}
