import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getReceiptsOfEvents } from '../../storage/tables/sliding-sync.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { SyncToken } from '../../streams/sync-token.ts'
import { buildReceiptContent } from '../ephemeral/receipt-content.ts'
import type { DeviceListSharing } from '../sync/device-list-sharing.ts'
import type { SyncRooms } from '../sync/sync-rooms.ts'
import type { AccountDataSet, SyncSources } from '../sync/sync-sources.ts'
import type { SyncRequest } from '../sync/sync-request.ts'
import type { Filter } from '../../protocol/filters/filter.ts'
import { LIVE, NEVER } from './connection-state.ts'
import type { ConnectionState } from './connection-state.ts'
import type { RoomAnswer } from './room-answers.ts'
import type { ListsNow } from './room-lists.ts'
import type { RoomConfig, ExtensionScope, SlidingRequest } from './sliding-request.ts'

/** What an extension tells, by its name in the answer. */
export interface ExtensionTexts {
  readonly texts: ReadonlyMap<string, string>
  /** Some of it is news, which ends the waiting. */
  readonly hasNews: boolean
  /** Rooms that were told of; undefined where the extension is off. */
  readonly receiptRooms: ReadonlySet<RoomId> | undefined
  readonly accountDataRooms: ReadonlySet<RoomId> | undefined
}

/** What extensions look at. */
export interface ExtensionFrame {
  readonly request: SlidingRequest
  readonly state: ConnectionState
  readonly since: SyncToken | undefined
  readonly lists: ListsNow
  readonly relevant: ReadonlyMap<RoomId, RoomConfig>
  readonly answers: readonly RoomAnswer[]
}

interface Piece {
  readonly text: string
  readonly hasNews: boolean
}

const NO_ROOMS: ReadonlySet<RoomId> = new Set()

/** Answers the extensions: to_device (MSC3885), e2ee (MSC3884), account_data (MSC3959), receipts (MSC3960), typing (MSC3961). */
export class Extensions {
  readonly #database: Database
  readonly #sources: SyncSources
  readonly #rooms: SyncRooms
  readonly #sharing: DeviceListSharing
  readonly #everything: Filter

  constructor(deps: {
    database: Database
    sources: SyncSources
    rooms: SyncRooms
    sharing: DeviceListSharing
    /** A filter that keeps everything. */
    everything: Filter
  }) {
    this.#database = deps.database
    this.#sources = deps.sources
    this.#rooms = deps.rooms
    this.#sharing = deps.sharing
    this.#everything = deps.everything
  }

  async answer(frame: ExtensionFrame): Promise<ExtensionTexts> {
    const { extensions } = frame.request
    const receiptRooms = extensions.receipts && roomsInScope(extensions.receipts, frame)
    const accountDataRooms = extensions.accountData && roomsInScope(extensions.accountData, frame)
    const pieces = await Promise.all([
      extensions.toDevice && this.#toDevice(frame, extensions.toDevice),
      extensions.hasE2ee ? this.#e2ee(frame) : undefined,
      accountDataRooms && this.#accountData(frame, accountDataRooms),
      receiptRooms && this.#receipts(frame, receiptRooms),
      extensions.typing && this.#typing(frame, roomsInScope(extensions.typing, frame)),
    ])
    const names = ['to_device', 'e2ee', 'account_data', 'receipts', 'typing']
    const texts = new Map<string, string>()
    for (const [index, piece] of pieces.entries()) if (piece) texts.set(names[index] ?? '', piece.text)
    return { texts, hasNews: pieces.some((piece) => piece?.hasNews), receiptRooms, accountDataRooms }
  }

  /** Counts of one-time keys; with every answer, and nothing to wait for. */
  async getKeyCounts({ requester, extensions }: SlidingRequest): Promise<string> {
    const { userId, deviceId } = requester
    if (!extensions.hasE2ee || deviceId === undefined) return ''
    const { oneTimeKeyCounts, unusedFallbackKeyTypes } = await this.#sources.keyCounts.get({ userId, deviceId })
    return `"device_one_time_keys_count":${JSON.stringify(oneTimeKeyCounts)},"device_unused_fallback_key_types":${JSON.stringify(unusedFallbackKeyTypes)}`
  }

  async #toDevice(
    { request, lists }: ExtensionFrame,
    { since, limit }: { readonly since: number | undefined; readonly limit: number },
  ): Promise<Piece> {
    const { userId, deviceId } = request.requester
    const upTo = lists.now.toDevice
    if (deviceId === undefined) return { text: `{"next_batch":"${upTo}","events":[]}`, hasNews: false }
    // A token from before the database was restored never points beyond what we know.
    const after = Math.min(since ?? 0, upTo) as StreamPosition
    const page = await this.#sources.toDevice.getMessages({ userId, deviceId, after, upTo, limit })
    return {
      text: `{"next_batch":"${page.upTo}","events":[${page.events.join(',')}]}`,
      hasNews: page.events.length > 0,
    }
  }

  /** Who came into sight or went out of it, in any room: not only in those that the client sees. */
  async #e2ee({ request, since, lists }: ExtensionFrame): Promise<Piece> {
    if (!since) return { text: '', hasNews: false }
    const { requester, signal } = request
    const whole: SyncRequest = {
      requester,
      since,
      filter: this.#everything,
      timeoutMs: 0,
      isFullState: false,
      usesStateAfter: false,
      setPresence: 'offline',
      signal,
    }
    const { now, feed, ignoredUsers: ignored } = lists
    const plan = await this.#rooms.planIncremental(whole, feed, { since, now, unwanted: ignored })
    const sharing = await this.#sharing.getChanges(requester.userId, plan, since, now)
    const { changed, left } = await this.#sources.deviceLists.getChanges({
      userId: requester.userId,
      after: since.deviceLists,
      upTo: now.deviceLists,
      ...sharing,
    })
    return {
      text: `"device_lists":${JSON.stringify({ changed, left })}`,
      hasNews: changed.length + left.length > 0,
    }
  }

  async #accountData({ request, state, since, lists }: ExtensionFrame, rooms: ReadonlySet<RoomId>): Promise<Piece> {
    const { userId } = request.requester
    const upTo = lists.now.accountData
    const { accountData, pushRules } = this.#sources
    const changed = since && (await accountData.getChanged({ userId, after: since.accountData, upTo }))
    const byStart = Map.groupBy(rooms, (roomId) => (since && state.rooms.get(roomId)?.accountData) ?? NEVER)
    const isNeededWhole = !since || byStart.has(NEVER)
    const everything = isNeededWhole ? await accountData.getAll(userId) : undefined
    const told = new Map<RoomId, string>()
    for (const [start, ofStart] of byStart) {
      const data: AccountDataSet | undefined =
        start === LIVE
          ? changed
          : start === NEVER
            ? everything
            : await accountData.getChanged({ userId, after: start as StreamPosition, upTo })
      for (const roomId of ofStart) {
        const items = data?.rooms.get(roomId)
        if (items) told.set(roomId, `${JSON.stringify(roomId)}:[${items.map(itemText).join(',')}]`)
      }
    }
    const global = ((since ? changed : everything)?.global ?? []).map(itemText)
    if (!since || pushRules.hasChanged(userId, since.pushRules))
      global.push(`{"type":"m.push_rules","content":${await pushRules.getAccountDataJson(userId)}}`)
    return {
      text: `{"global":[${global.join(',')}],"rooms":{${[...told.values()].join(',')}}}`,
      hasNews: global.length + told.size > 0,
    }
  }

  async #receipts({ request, state, since, lists, answers }: ExtensionFrame, rooms: ReadonlySet<RoomId>): Promise<Piece> {
    const { userId } = request.requester
    const { now, ignoredUsers: ignoredUserIds } = lists
    const toldAnew = new Map(
      answers.filter(({ plan }) => plan.isInitial || plan.isExpanded).map((answer) => [answer.plan.roomId, answer]),
    )
    const byStart = Map.groupBy(rooms, (roomId) =>
      !since || toldAnew.has(roomId) ? NEVER : (state.rooms.get(roomId)?.receipts ?? NEVER),
    )
    const contents = await Promise.all(
      [...byStart].map(([start, roomIds]) => {
        if (start === NEVER) return this.#receiptsOfTimelines(roomIds, toldAnew, userId, ignoredUserIds)
        const after = (start === LIVE ? (since?.receipts ?? 0) : start) as StreamPosition
        return this.#sources.receipts.getChanged({ userId, roomIds, after, upTo: now.receipts, ignoredUserIds })
      }),
    )
    const texts = contents
      .flatMap((ofStart) => [...ofStart])
      .map(([roomId, content]) => `${JSON.stringify(roomId)}:{"type":"m.receipt","content":${content}}`)
    return { text: `{"rooms":{${texts.join(',')}}}`, hasNews: texts.length > 0 }
  }

  /** Of a room that is told from the beginning: the receipts at what is shown of it, and the user's own. */
  async #receiptsOfTimelines(
    roomIds: readonly RoomId[],
    answers: ReadonlyMap<RoomId, RoomAnswer>,
    userId: UserId,
    ignoredUserIds: ReadonlySet<string>,
  ): Promise<Map<RoomId, string>> {
    const eventIds = roomIds.flatMap((roomId) => (answers.get(roomId)?.timeline.items ?? []).map((item) => item.eventId))
    const stored = await getReceiptsOfEvents(this.#database, { roomIds, eventIds, userId })
    const receipts = stored
      .filter((receipt) => !ignoredUserIds.has(receipt.userId))
      .map((receipt) => ({ ...receipt, threadId: receipt.threadId === '' ? undefined : receipt.threadId }))
    const contents = new Map<RoomId, string>()
    for (const [roomId, ofRoom] of Map.groupBy(receipts, (receipt) => receipt.roomId)) {
      const content = buildReceiptContent(ofRoom, userId)
      if (content !== undefined) contents.set(roomId as RoomId, content)
    }
    return contents
  }

  async #typing({ state, since, lists }: ExtensionFrame, rooms: ReadonlySet<RoomId>): Promise<Piece> {
    const isLive = (roomId: RoomId): boolean => since !== undefined && state.rooms.get(roomId)?.events === LIVE
    const { typing } = this.#sources
    const live = typing.getChanged({ roomIds: [...rooms].filter(isLive), after: (since?.typing ?? 0) as StreamPosition })
    const others = typing.getChanged({ roomIds: [...rooms].filter((roomId) => !isLive(roomId)), after: 0 as StreamPosition })
    const texts: string[] = []
    for (const [roomId, users] of [...live, ...[...others].filter(([, typers]) => typers.length > 0)]) {
      const userIds = users.filter((userId) => !lists.ignoredUsers.has(userId))
      texts.push(`${JSON.stringify(roomId)}:{"type":"m.typing","content":{"user_ids":${JSON.stringify(userIds)}}}`)
    }
    return { text: `{"rooms":{${texts.join(',')}}}`, hasNews: texts.length > 0 }
  }
}

/** The joined rooms in sight that the extension is asked about. MSC4186: `lists` and `rooms` of extensions. */
function roomsInScope(scope: ExtensionScope, { lists, relevant }: ExtensionFrame): ReadonlySet<RoomId> {
  const isJoined = (roomId: RoomId): boolean => lists.places.get(roomId)?.membership === 'join'
  if (scope.rooms.includes('*')) return new Set([...relevant.keys()].filter(isJoined))
  const rooms = new Set<RoomId>(scope.rooms.filter((roomId) => relevant.has(roomId as RoomId)) as RoomId[])
  for (const [name, { roomIds }] of lists.lists)
    if (scope.lists.includes('*') || scope.lists.includes(name)) for (const roomId of roomIds) rooms.add(roomId)
  return rooms.size === 0 ? NO_ROOMS : new Set([...rooms].filter(isJoined))
}

function itemText(item: { readonly type: string; readonly contentJson: string }): string {
  return `{"type":${JSON.stringify(item.type)},"content":${item.contentJson}}`
}
