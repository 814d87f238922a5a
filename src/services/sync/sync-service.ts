import type { DeviceId, RoomId, UserId } from '../../protocol/ids.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import { catchUpWithToken, currentSyncToken, formatSyncToken } from '../../streams/sync-token.ts'
import type { SyncToken } from '../../streams/sync-token.ts'
import type { Clock } from '../../util/clock.ts'
import type { DeviceListSharing, SharingChanges } from './device-list-sharing.ts'
import type { RoomSections, RoomTexts, SyncFrame } from './room-sections.ts'
import type { SyncRequest } from './sync-request.ts'
import type { RoomPlan, SyncRooms } from './sync-rooms.ts'
import type { AccountDataSet, SyncSources } from './sync-sources.ts'
import type { UserFeed, UserFeeds } from './user-feeds.ts'
import type { UserPredicate } from '../user-data/account-data.ts'

/** Messages to devices in one answer. */
const TO_DEVICE_MAX = 100
const TIMEOUT_MS_MAX = 600_000
const NO_ROOMS: RoomTexts = { join: [], invite: [], knock: [], leave: [] }
const NO_DEVICES: { readonly changed: readonly string[]; readonly left: readonly string[] } = { changed: [], left: [] }
const START = 0 as StreamPosition

/**
 * Answers /sync: works out what changed between the client's token and now, and waits where nothing did. Answers are joined
 * of JSON texts; an incremental answer about new messages costs no query. Spec: client-server-api § Syncing.
 */
export class SyncService {
  readonly #hub: StreamHub
  readonly #clock: Clock
  readonly #sharing: DeviceListSharing
  readonly #feeds: UserFeeds
  readonly #rooms: SyncRooms
  readonly #sections: RoomSections
  readonly #sources: SyncSources

  constructor(deps: {
    hub: StreamHub
    clock: Clock
    sharing: DeviceListSharing
    feeds: UserFeeds
    rooms: SyncRooms
    sections: RoomSections
    sources: SyncSources
  }) {
    this.#hub = deps.hub
    this.#clock = deps.clock
    this.#sharing = deps.sharing
    this.#feeds = deps.feeds
    this.#rooms = deps.rooms
    this.#sections = deps.sections
    this.#sources = deps.sources
  }

  /** Returns the JSON text of the answer. */
  async sync(request: SyncRequest): Promise<string> {
    const { requester } = request
    const endPresence = this.#sources.presence.userSyncing(requester.userId, request.setPresence, requester.deviceId)
    try {
      return await this.#answer(request)
    } finally {
      endPresence()
    }
  }

  async #answer(request: SyncRequest): Promise<string> {
    const { requester } = request
    if (request.since) await catchUpWithToken(this.#hub, request.since)
    if (request.since && requester.deviceId) {
      // The client came back with this token, so it has what the token covers.
      await this.#sources.toDevice.deleteUpTo({
        userId: requester.userId,
        deviceId: requester.deviceId,
        upTo: request.since.toDevice,
      })
    }
    const deadlineMs = this.#clock.monotonicMs() + Math.min(request.timeoutMs, TIMEOUT_MS_MAX)
    for (;;) {
      // Asked for anew each time: a feed that was pushed out of memory while this waited learns of nothing any more.
      const feed = await this.#feeds.get(requester.userId)
      const now = currentSyncToken(this.#hub)
      const since = request.since && clampToNow(request.since, now)
      const answer = await this.#compute(request, feed, since, now)
      const leftMs = deadlineMs - this.#clock.monotonicMs()
      if (!answer.isEmpty || since === undefined || request.isFullState || leftMs <= 0 || request.signal.aborted)
        return answer.text
      if (hasMoved(now, currentSyncToken(this.#hub))) continue
      const outcome = await this.#hub.park(feed.wait(leftMs, request.signal))
      if (outcome === 'aborted') return answer.text
    }
  }

  async #compute(
    request: SyncRequest,
    feed: UserFeed,
    since: SyncToken | undefined,
    now: SyncToken,
  ): Promise<{ text: string; isEmpty: boolean }> {
    const { userId, deviceId } = request.requester
    const ignoredUsers = await this.#sources.accountData.getIgnoredUsers(userId)
    const unwanted = await this.#sources.accountData.getUnwantedInviters(userId)
    const [plan, accountData] = await Promise.all([
      this.#plan(request, feed, since, now, unwanted),
      this.#accountData(request, since, now),
    ])
    const {
      receipts,
      typing,
      plan: wholePlan,
    } = await this.#addQuietRooms(plan, { accountData, ignoredUsers, request, feed, since, now })
    const frame: SyncFrame = { request, since, now, ignoredUsers, accountData, receipts, typing }
    const sharing = since && (await this.#sharing.getChanges(userId, wholePlan, since, now))
    const [rooms, toDevice, devices, keyCounts, presenceTexts] = await Promise.all([
      request.filter.room.matchesNoRoom ? NO_ROOMS : this.#sections.write(wholePlan, frame),
      this.#toDevice(userId, deviceId, since, now),
      since && sharing
        ? this.#sources.deviceLists.getChanges({ userId, after: since.deviceLists, upTo: now.deviceLists, ...sharing })
        : NO_DEVICES,
      deviceId === undefined ? undefined : this.#sources.keyCounts.get({ userId, deviceId }),
      this.#presence(request, sharing, since, now),
    ])
    const globalTexts = await this.#globalAccountData(request, accountData, since)
    const next = { ...now, toDevice: toDevice.upTo }
    const isEmpty =
      rooms.join.length +
        rooms.invite.length +
        rooms.knock.length +
        rooms.leave.length +
        globalTexts.length +
        toDevice.events.length +
        presenceTexts.length ===
        0 && devices.changed.length + devices.left.length === 0
    let text = `{"next_batch":"${formatSyncToken(next)}"`
    if (globalTexts.length > 0) text += `,"account_data":{"events":[${globalTexts.join(',')}]}`
    if (presenceTexts.length > 0) text += `,"presence":{"events":[${presenceTexts.join(',')}]}`
    if (toDevice.events.length > 0) text += `,"to_device":{"events":[${toDevice.events.join(',')}]}`
    if (devices.changed.length + devices.left.length > 0) text += `,"device_lists":${JSON.stringify(devices)}`
    if (keyCounts) {
      text += `,"device_one_time_keys_count":${JSON.stringify(keyCounts.oneTimeKeyCounts)}`
      const types = JSON.stringify(keyCounts.unusedFallbackKeyTypes)
      text += `,"device_unused_fallback_key_types":${types},"org.matrix.msc2732.device_unused_fallback_key_types":${types}`
    }
    return { text: `${text}${roomsText(rooms)}}`, isEmpty }
  }

  #plan(
    request: SyncRequest,
    feed: UserFeed,
    since: SyncToken | undefined,
    now: SyncToken,
    unwanted: UserPredicate,
  ): Promise<RoomPlan> {
    return since
      ? this.#rooms.planIncremental(request, feed, { since, now, unwanted })
      : this.#rooms.planInitial(request, now, unwanted)
  }

  #accountData(request: SyncRequest, since: SyncToken | undefined, now: SyncToken): Promise<AccountDataSet> {
    const { userId } = request.requester
    return since
      ? this.#sources.accountData.getChanged({ userId, after: since.accountData, upTo: now.accountData })
      : this.#sources.accountData.getAll(userId)
  }

  /** Adds joined rooms where only receipts, typing or account data changed. */
  async #addQuietRooms(
    plan: RoomPlan,
    context: {
      accountData: AccountDataSet
      ignoredUsers: ReadonlySet<string>
      request: SyncRequest
      feed: UserFeed
      since: SyncToken | undefined
      now: SyncToken
    },
  ): Promise<{ plan: RoomPlan; receipts: ReadonlyMap<RoomId, string>; typing: ReadonlyMap<RoomId, readonly UserId[]> }> {
    const { accountData, ignoredUsers: ignoredUserIds, request, feed, since, now } = context
    const { userId } = request.requester
    const typing = this.#sources.typing.getChanged({
      roomIds: since ? feed.rooms : plan.newlyJoined,
      after: since?.typing ?? START,
    })
    const [changed, whole] = await Promise.all([
      since && now.receipts > since.receipts
        ? this.#sources.receipts.getChanged({
            userId,
            roomIds: feed.rooms,
            after: since.receipts,
            upTo: now.receipts,
            ignoredUserIds,
          })
        : new Map<RoomId, string>(),
      plan.newlyJoined.length > 0
        ? this.#sources.receipts.getForRooms(plan.newlyJoined, userId, ignoredUserIds)
        : new Map<RoomId, string>(),
    ])
    const receipts = new Map([...changed, ...whole])
    const known = new Set([...plan.joined, ...plan.newlyJoined])
    const quiet = new Set([...changed.keys(), ...typing.keys(), ...accountData.rooms.keys()])
    const added = [...quiet].filter(
      (roomId) => !known.has(roomId) && feed.rooms.has(roomId) && request.filter.room.matchesRoom(roomId),
    )
    return { plan: added.length === 0 ? plan : { ...plan, joined: [...plan.joined, ...added] }, receipts, typing }
  }

  async #globalAccountData(request: SyncRequest, accountData: AccountDataSet, since: SyncToken | undefined): Promise<string[]> {
    const { userId } = request.requester
    const wanted = accountData.global.filter((item) => request.filter.accountData.matches({ type: item.type }))
    const texts = wanted.map((item) => `{"type":${JSON.stringify(item.type)},"content":${item.contentJson}}`)
    const hasNewRules = since === undefined || this.#sources.pushRules.hasChanged(userId, since.pushRules)
    if (hasNewRules && request.filter.accountData.matches({ type: 'm.push_rules' })) {
      texts.push(`{"type":"m.push_rules","content":${await this.#sources.pushRules.getAccountDataJson(userId)}}`)
    }
    return texts
  }

  async #toDevice(
    userId: UserId,
    deviceId: DeviceId | undefined,
    since: SyncToken | undefined,
    now: SyncToken,
  ): Promise<{ events: readonly string[]; upTo: StreamPosition }> {
    if (deviceId === undefined) return { events: [], upTo: now.toDevice }
    return this.#sources.toDevice.getMessages({
      userId,
      deviceId,
      after: since?.toDevice ?? START,
      upTo: now.toDevice,
      limit: TO_DEVICE_MAX,
    })
  }

  /** Changed presences, and those of users that came into sight. */
  async #presence(
    request: SyncRequest,
    sharing: SharingChanges | undefined,
    since: SyncToken | undefined,
    now: SyncToken,
  ): Promise<string[]> {
    const { presence } = this.#sources
    const { userId } = request.requester
    if (request.filter.presence.matchesNothing) return []
    if (since === undefined) return (await presence.getInitial(userId)).filter((text) => keepsPresence(request, text))
    const changed = await presence.getChanged({ userId, after: since.presence, upTo: now.presence })
    const came = sharing && sharing.newlySharedUsers.size > 0 ? await presence.getOfUsers(sharing.newlySharedUsers) : []
    return [...new Set([...changed, ...came])].filter((text) => keepsPresence(request, text))
  }
}

function keepsPresence(request: SyncRequest, text: string): boolean {
  const { presence } = request.filter
  if (presence.matchesEverything) return true
  const event = JSON.parse(text) as { sender?: string }
  return presence.matches({ type: 'm.presence', sender: event.sender })
}

function roomsText(rooms: RoomTexts): string {
  const sections = (['join', 'invite', 'knock', 'leave'] as const)
    .filter((name) => rooms[name].length > 0)
    .map((name) => `"${name}":{${rooms[name].join(',')}}`)
  return sections.length === 0 ? '' : `,"rooms":{${sections.join(',')}}`
}

/** A token from a faster process, or from before a restore, never points beyond what we know. */
function clampToNow(since: SyncToken, now: SyncToken): SyncToken {
  const low = (a: StreamPosition, b: StreamPosition): StreamPosition => (a < b ? a : b)
  return {
    ...since,
    events: low(since.events, now.events),
    presence: low(since.presence, now.presence),
    typing: low(since.typing, now.typing),
    receipts: low(since.receipts, now.receipts),
    accountData: low(since.accountData, now.accountData),
    pushRules: low(since.pushRules, now.pushRules),
    toDevice: low(since.toDevice, now.toDevice),
    deviceLists: low(since.deviceLists, now.deviceLists),
  }
}

function hasMoved(before: SyncToken, after: SyncToken): boolean {
  return formatSyncToken(before) !== formatSyncToken(after)
}
