import type { RoomId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import type { ConnectionKey } from '../../storage/tables/sliding-sync.ts'
import { getChangedRooms } from '../../storage/tables/sync-state.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import { catchUpWithToken, currentSyncToken } from '../../streams/sync-token.ts'
import type { SyncToken } from '../../streams/sync-token.ts'
import type { Clock } from '../../util/clock.ts'
import type { SyncSources } from '../sync/sync-sources.ts'
import type { ConnectionState, RoomTold } from './connection-state.ts'
import type { ConnectionStore } from './connection-store.ts'
import type { ExtensionTexts, Extensions } from './extensions.ts'
import { changesOfState } from './next-state.ts'
import type { OwnReceipts } from './own-receipts.ts'
import type { RequiredStates } from './required-state.ts'
import type { RoomAnswers } from './room-answers.ts'
import type { ListsNow, RoomLists } from './room-lists.ts'
import { collectRelevant, planRooms, roomsInQuestion } from './room-plan.ts'
import { formatPos } from './sliding-request.ts'
import type { SlidingRequest } from './sliding-request.ts'

const TIMEOUT_MS_MAX = 600_000

/** What was worked out for one moment, before anything of it is stored. */
interface Computed {
  readonly lists: ListsNow
  readonly roomTexts: readonly string[]
  readonly extensions: ExtensionTexts
  readonly changes: ReadonlyMap<RoomId, RoomTold>
  readonly hasNews: boolean
}

interface SlidingSyncDeps {
  readonly database: Database
  readonly hub: StreamHub
  readonly clock: Clock
  readonly store: ConnectionStore
  readonly lists: RoomLists
  readonly answers: RoomAnswers
  readonly extensions: Extensions
  readonly ownReceipts: OwnReceipts
  readonly requiredStates: RequiredStates
  readonly toDevice: SyncSources['toDevice']
}

/**
 * Answers simplified sliding sync (MSC4186): lists of rooms by recency, rooms that the client subscribes to, and extensions. What a
 * client was told is in PostgreSQL, so that any process answers its next request, and a request that is repeated gets all of its
 * answer again. A new message in a room that is in sight costs no query.
 */
export class SlidingSyncService {
  readonly #deps: SlidingSyncDeps

  constructor(deps: SlidingSyncDeps) {
    this.#deps = deps
  }

  get requiredStates(): RequiredStates {
    return this.#deps.requiredStates
  }

  /** Returns the JSON text of the answer. Throws M_UNKNOWN_POS. */
  async sync(request: SlidingRequest): Promise<string> {
    const { hub, clock, store } = this.#deps
    const key = keyOf(request)
    const deadlineMs = clock.monotonicMs() + Math.min(request.timeoutMs, TIMEOUT_MS_MAX)
    const state = await store.load(key, request.pos?.position ?? 0)
    if (request.pos) await catchUpWithToken(hub, request.pos.token)
    await this.#acknowledge(request)
    for (;;) {
      const computed = await this.#compute(request, state)
      if (computed.hasNews || !request.pos) return this.#answer(request, key, state, computed)
      const { now } = computed.lists
      for (;;) {
        // Asked for anew each time: a feed that was pushed out of memory while this waited learns of nothing any more.
        const feed = await this.#deps.lists.getFeed(request.requester.userId)
        if (hasMoved(now, currentSyncToken(hub))) break
        const leftMs = deadlineMs - clock.monotonicMs()
        if (leftMs <= 0 || request.signal.aborted) return this.#answer(request, key, state, computed)
        const outcome = await hub.park(feed.wait(leftMs, request.signal))
        if (outcome !== 'changed') return this.#answer(request, key, state, computed)
      }
    }
  }

  /** The client came back with this token, so it has the messages up to there. */
  async #acknowledge({ requester, extensions }: SlidingRequest): Promise<void> {
    const since = extensions.toDevice?.since
    if (since === undefined || requester.deviceId === undefined) return
    const { hub, toDevice } = this.#deps
    if (since > hub.head('to_device')) await hub.catchUpTo('to_device', 0, since)
    if (since > hub.head('to_device')) return
    await toDevice.deleteUpTo({ userId: requester.userId, deviceId: requester.deviceId, upTo: since as StreamPosition })
  }

  async #compute(request: SlidingRequest, state: ConnectionState): Promise<Computed> {
    const { answers: roomAnswers, requiredStates } = this.#deps
    const { requester } = request
    const lists = await this.#deps.lists.resolve(requester.userId, request.lists)
    const { now } = lists
    const since = request.pos && clampToNow(request.pos.token, now)
    const relevant = collectRelevant(request, lists, requiredStates)
    const [changed, recounted] = await Promise.all([
      since && this.#changedRooms(state, relevant.keys(), lists, since),
      since
        ? this.#deps.ownReceipts.getRooms(requester.userId, {
            after: since.receipts,
            upTo: now.receipts,
            roomIds: relevant.keys(),
          })
        : [],
    ])
    const plans = planRooms({ state, relevant, changed, recounted: new Set(recounted), since, lists })
    const answers = await roomAnswers.write(plans, {
      requester,
      since,
      now,
      ignoredUsers: lists.ignoredUsers,
      directRooms: lists.rooms.marks.directRooms,
    })
    const extensions = await this.#deps.extensions.answer({ request, state, since, lists, relevant, answers })
    const { receiptRooms, accountDataRooms } = extensions
    return {
      lists,
      roomTexts: answers.map((answer) => answer.text),
      extensions,
      changes: changesOfState({ state, since, now, relevant, answers, receiptRooms, accountDataRooms }, requiredStates),
      hasNews: answers.length > 0 || extensions.hasNews,
    }
  }

  async #changedRooms(
    state: ConnectionState,
    relevant: Iterable<RoomId>,
    { feed, now }: ListsNow,
    since: SyncToken,
  ): Promise<ReadonlySet<RoomId>> {
    if (since.events >= now.events) return new Set()
    const known = feed.getChangedRooms(since.events)
    if (known) return new Set(known)
    const roomIds = roomsInQuestion(state, relevant)
    return new Set(await getChangedRooms(this.#deps.database, { roomIds, after: since.events, upTo: now.events }))
  }

  async #answer(request: SlidingRequest, key: ConnectionKey, state: ConnectionState, computed: Computed): Promise<string> {
    const { lists, roomTexts, extensions, changes } = computed
    // Whoever has gone cannot have got an answer: nothing of it is stored.
    const isGone = request.signal.aborted && request.pos !== undefined && !computed.hasNews
    const parent = { position: request.pos?.position ?? 0, state }
    const [position, keyCounts] = await Promise.all([
      isGone ? parent.position : this.#deps.store.save(key, parent, changes),
      this.#deps.extensions.getKeyCounts(request),
    ])
    const token = isGone && request.pos ? request.pos.token : lists.now
    const extensionTexts = [...extensions.texts].map(([name, text]) =>
      name === 'e2ee' ? `"e2ee":{${[keyCounts, text].filter((part) => part !== '').join(',')}}` : `"${name}":${text}`,
    )
    const listTexts = [...lists.lists].map(([name, { count }]) => `${JSON.stringify(name)}:{"count":${count}}`)
    return (
      `{"pos":${JSON.stringify(formatPos({ position, token }))}` +
      (request.txnId === undefined ? '' : `,"txn_id":${JSON.stringify(request.txnId)}`) +
      `,"lists":{${listTexts.join(',')}},"rooms":{${roomTexts.join(',')}},"extensions":{${extensionTexts.join(',')}}}`
    )
  }
}

function keyOf({ requester, connId }: SlidingRequest): ConnectionKey {
  return { userId: requester.userId, deviceId: requester.deviceId ?? '', connId }
}

/** A token from before a restore never points beyond what we know. */
function clampToNow(since: SyncToken, now: SyncToken): SyncToken {
  const low = (a: StreamPosition, b: StreamPosition): StreamPosition => (a < b ? a : b)
  return {
    ...since,
    events: low(since.events, now.events),
    typing: low(since.typing, now.typing),
    receipts: low(since.receipts, now.receipts),
    accountData: low(since.accountData, now.accountData),
    pushRules: low(since.pushRules, now.pushRules),
    toDevice: low(since.toDevice, now.toDevice),
    deviceLists: low(since.deviceLists, now.deviceLists),
  }
}

/** Presence and profiles are not told: they wake the feed for nothing. */
function hasMoved(before: SyncToken, after: SyncToken): boolean {
  return (
    before.events !== after.events ||
    before.typing !== after.typing ||
    before.receipts !== after.receipts ||
    before.accountData !== after.accountData ||
    before.pushRules !== after.pushRules ||
    before.toDevice !== after.toDevice ||
    before.deviceLists !== after.deviceLists
  )
}
