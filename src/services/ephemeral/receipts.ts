import { MatrixError } from '../../protocol/errors.ts'
import type { EventId, RoomId, UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import {
  getEventPositions,
  getReceiptEventPosition,
  getReceiptRowsSince,
  getReceiptsChanged,
  getReceiptsOfRooms,
  getReceiptTarget,
  upsertReceipt,
} from '../../storage/tables/receipts.ts'
import type { ReceiptTarget, StoredReceipt } from '../../storage/tables/receipts.ts'
import { EntityChanges } from '../../streams/entity-changes.ts'
import type { LaneCommitter } from '../../streams/lane-committer.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { ReceiptStreamRow, StreamPosition } from '../../streams/streams.ts'
import type { Clock } from '../../util/clock.ts'
import type { Memberships } from '../rooms/memberships.ts'
import { buildReceiptContent } from './receipt-content.ts'
import type { Receipt } from './receipt-content.ts'
import { RecentReceipts } from './recent-receipts.ts'

/** Types of receipts that readers get under `m.receipt`. */
export const READ_RECEIPT_TYPES = ['m.read', 'm.read.private'] as const
export type ReadReceiptType = (typeof READ_RECEIPT_TYPES)[number]

const FULLY_READ = 'm.fully_read'
/** The thread id of the main timeline. Spec: client-server-api § Threaded read receipts. */
const MAIN_THREAD = 'main'
/** Attempts at moving the fully-read marker against rivals. */
const MARKER_ATTEMPTS_MAX = 10

/** The part of account data that holds the fully-read marker. */
export interface MarkerStore {
  getForRoom(userId: UserId, roomId: RoomId, type: string): Promise<string | undefined>
  change(
    item: { userId: UserId; roomId: RoomId | undefined; type: string },
    change: (content: JsonObject) => JsonObject | undefined,
  ): Promise<void>
}

export interface ReceiptRequest {
  readonly userId: UserId
  readonly roomId: RoomId
  readonly eventId: EventId
  readonly receiptType: ReadReceiptType
  /** Undefined for an unthreaded receipt. */
  readonly threadId?: string | undefined
  /** When another server says it was; now by default. */
  readonly receivedTsMs?: number
}

/** Keeps how far users have read: receipts, which never go back (reliability P9), and the fully-read marker. */
export class Receipts {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #committer: LaneCommitter<'receipts'>
  readonly #memberships: Memberships
  readonly #markers: MarkerStore
  readonly #clock: Clock
  readonly #recent = new RecentReceipts()
  readonly #changes = new EntityChanges<string>()

  constructor(deps: {
    database: Database
    hub: StreamHub
    committer: LaneCommitter<'receipts'>
    memberships: Memberships
    markers: MarkerStore
    clock: Clock
  }) {
    this.#database = deps.database
    this.#hub = deps.hub
    this.#committer = deps.committer
    this.#memberships = deps.memberships
    this.#markers = deps.markers
    this.#clock = deps.clock
    deps.hub.onRow('receipts', (row, position) => {
      this.#recent.add(row, position)
      this.#changes.note(row.roomId, position)
    })
    deps.hub.onReset('receipts', (head) => {
      this.#recent.reset(head)
      this.#changes.reset(head)
    })
    deps.hub.setReadSince('receipts', async (_lane, after, upTo) =>
      (await getReceiptRowsSince(this.#database, { after, upTo })).map((stored) => ({
        position: stored.position,
        row: toStreamRow(stored),
      })),
    )
  }

  /** Must be called once the stream's head is known. */
  start(): void {
    const head = this.#hub.head('receipts')
    this.#recent.start(head)
    this.#changes.start(head)
  }

  /**
   * Marks an event as read. One for an older event than that of the user's stored receipt changes nothing. Settles when
   * it is durable. Throws M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM (the event is not in the thread). Spec: receipts.yaml.
   */
  async write(request: ReceiptRequest): Promise<void> {
    const { userId, roomId, eventId, receiptType, threadId } = request
    await this.#assertJoined(userId, roomId)
    const key = { userId, roomId, receiptType, threadId: threadId ?? '' }
    const [target, storedPosition] = await Promise.all([
      getReceiptTarget(this.#database, { roomId, eventId }),
      getReceiptEventPosition(this.#database, key),
    ])
    if (!target) throw unknownEvent()
    if (threadId !== undefined && !isInThread(target, threadId)) {
      throw new MatrixError('M_INVALID_PARAM', `The event is not related to the thread ${threadId}`)
    }
    if (storedPosition !== undefined && storedPosition >= target.position) return
    const receivedTsMs = request.receivedTsMs ?? this.#clock.nowMs()
    const row = { ...key, eventId, receivedTsMs, eventPosition: target.position, notifyOrdinal: target.notifyOrdinal }
    await this.#committer.commit({
      count: 1,
      write: (tx, index) => upsertReceipt(tx, index, row),
      // A rival may have stored a newer one meanwhile: then there is nothing to tell.
      rows: (stored) => (stored?.eventId === eventId && stored.receivedTsMs === receivedTsMs ? [toStreamRow(stored)] : []),
    })
  }

  async #assertJoined(userId: UserId, roomId: RoomId): Promise<void> {
    if (!(await this.#memberships.isJoined(userId, roomId))) throw new MatrixError('M_FORBIDDEN', 'You are not in this room')
  }

  /** Sets the fully-read marker, unless it is further already. Throws M_FORBIDDEN, M_NOT_FOUND. Spec: read_markers.yaml. */
  async setFullyRead({ userId, roomId, eventId }: { userId: UserId; roomId: RoomId; eventId: EventId }): Promise<void> {
    await this.#assertJoined(userId, roomId)
    const item = { userId, roomId, type: FULLY_READ }
    for (let attempt = 0; attempt < MARKER_ATTEMPTS_MAX; attempt++) {
      const before = readMarker(await this.#markers.getForRoom(userId, roomId, FULLY_READ))
      const positions = await getEventPositions(this.#database, {
        roomId,
        eventIds: before === undefined ? [eventId] : [eventId, before],
      })
      const position = positions.get(eventId)
      if (position === undefined) throw unknownEvent()
      // An event that is no longer known (purged) counts as older.
      if (before !== undefined && (positions.get(before) ?? 0) >= position) return
      let isRival = false
      await this.#markers.change(item, (content) => {
        isRival = content['event_id'] !== before
        return isRival ? undefined : { event_id: eventId }
      })
      if (!isRival) return
    }
    throw new MatrixError('M_LIMIT_EXCEEDED', 'Too many changes at once', { extra: { retry_after_ms: 1000 } })
  }

  /**
   * What changed in rooms with after < position <= upTo, for one reader: the content of `m.receipt` as JSON text. From
   * memory for readers that keep up; rooms without news are left out.
   */
  async getChanged(range: {
    userId: UserId
    roomIds: Iterable<RoomId>
    after: StreamPosition
    upTo: StreamPosition
    ignoredUserIds?: ReadonlySet<string>
  }): Promise<Map<RoomId, string>> {
    const { userId, after, upTo, ignoredUserIds } = range
    if (upTo <= after) return new Map()
    if (this.#recent.isComplete(after)) {
      const rows = this.#recent.slice(after, upTo)
      if (rows.length === 0) return new Map()
      const rooms = toSet(range.roomIds)
      return buildContents(
        rows.filter((row) => rooms.has(row.roomId as RoomId)),
        userId,
        ignoredUserIds,
      )
    }
    const roomIds = [...range.roomIds].filter((roomId) => this.#changes.hasChanged(roomId, after))
    if (roomIds.length === 0) return new Map()
    return buildContents(
      (await getReceiptsChanged(this.#database, { userId, roomIds, after, upTo })).map(toStreamRow),
      userId,
      ignoredUserIds,
    )
  }

  /** All receipts of rooms, for one reader who sees them for the first time. One query. */
  async getForRooms(
    roomIds: readonly RoomId[],
    userId: UserId,
    ignoredUserIds?: ReadonlySet<string>,
  ): Promise<Map<RoomId, string>> {
    if (roomIds.length === 0) return new Map()
    return buildContents((await getReceiptsOfRooms(this.#database, { roomIds, userId })).map(toStreamRow), userId, ignoredUserIds)
  }
}

function toSet(roomIds: Iterable<RoomId>): ReadonlySet<RoomId> {
  return roomIds instanceof Set ? (roomIds as ReadonlySet<RoomId>) : new Set(roomIds)
}

function buildContents(
  receipts: readonly Receipt[],
  viewer: UserId,
  ignoredUserIds: ReadonlySet<string> | undefined,
): Map<RoomId, string> {
  const contents = new Map<RoomId, string>()
  const shown = ignoredUserIds ? receipts.filter((receipt) => !ignoredUserIds.has(receipt.userId)) : receipts
  for (const [roomId, ofRoom] of Map.groupBy(shown, (receipt) => receipt.roomId)) {
    const content = buildReceiptContent(ofRoom, viewer)
    if (content !== undefined) contents.set(roomId as RoomId, content)
  }
  return contents
}

function toStreamRow(stored: StoredReceipt): ReceiptStreamRow {
  const { roomId, receiptType, userId, eventId, threadId, receivedTsMs, eventPosition } = stored
  return { roomId, receiptType, userId, eventId, threadId: threadId === '' ? undefined : threadId, receivedTsMs, eventPosition }
}

/**
 * Tells whether a receipt of the thread may point at the event: it is the thread's root or related to it, directly or over
 * other events. Spec: client-server-api § Threaded read receipts.
 */
function isInThread({ chain }: ReceiptTarget, threadId: string): boolean {
  const found = chain.find((event) => event.threadId !== null)?.threadId ?? MAIN_THREAD
  return found === threadId || (threadId !== MAIN_THREAD && chain.some((event) => event.eventId === threadId))
}

function readMarker(contentJson: string | undefined): string | undefined {
  const eventId = contentJson === undefined ? undefined : (JSON.parse(contentJson) as JsonObject)['event_id']
  return typeof eventId === 'string' ? eventId : undefined
}

function unknownEvent(): MatrixError {
  return new MatrixError('M_NOT_FOUND', 'Could not find the event in this room')
}
