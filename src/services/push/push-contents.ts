import { getPowerLevelsOf, userPowerLevel } from '../../protocol/auth-rules/power-levels.ts'
import type { EventId, RoomId, UserId } from '../../protocol/ids.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { evaluatePushRules } from '../../protocol/push-rules/evaluator.ts'
import { summarizeActions } from '../../protocol/push-rules/push-rule.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import type { Database } from '../../storage/database.ts'
import type { QueuedPush, SendingPusher } from '../../storage/tables/push-queue.ts'
import { getMemberEvents, getTypesAsOf } from '../../storage/tables/sync-state.ts'
import type { Clock } from '../../util/clock.ts'
import type { EventReader } from '../events/event-reader.ts'
import { stateRecordToEvent } from '../events/state-records.ts'
import type { Memberships } from '../rooms/memberships.ts'
import { NOW } from '../rooms/reading/room-slots.ts'
import type { PushRules } from './push-rules.ts'
import type { UnreadCounts } from './unread-counts.ts'
import type { UserPredicate } from '../user-data/account-data.ts'

const TYPES = ['m.room.name', 'm.room.canonical_alias', 'm.room.power_levels', 'm.room.create']
/** Of larger events only what they are is told: no phone takes so much. */
const CONTENT_BYTES_MAX = 16 * 1024
/** After so long nobody wants to be alerted any more. */
const AGE_MS_MAX = 24 * 3600_000
const DISABLE_BADGE = 'org.matrix.msc4076.disable_badge_count'

/** What a room is to a notification. */
interface RoomFacts {
  readonly name: string | undefined
  readonly alias: string | undefined
  readonly senderName: string | undefined
  readonly ownName: string | undefined
  readonly roomMemberCount: number
  readonly senderPowerLevel: number
  readonly notificationPowerLevels: Readonly<Record<string, number>>
}

/** Writes notifications for push gateways. Spec: push-gateway-api. */
export class PushContents {
  readonly #database: Database
  readonly #events: EventReader
  readonly #memberships: Memberships
  readonly #pushRules: PushRules
  readonly #unreadCounts: UnreadCounts
  readonly #getIgnoredUsers: (userId: UserId) => Promise<ReadonlySet<string>>
  readonly #getUnwantedInviters: (userId: UserId) => Promise<UserPredicate>
  readonly #clock: Clock
  readonly #includesContent: boolean

  constructor(deps: {
    database: Database
    events: EventReader
    memberships: Memberships
    pushRules: PushRules
    unreadCounts: UnreadCounts
    getIgnoredUsers: (userId: UserId) => Promise<ReadonlySet<string>>
    getUnwantedInviters: (userId: UserId) => Promise<UserPredicate>
    clock: Clock
    /** Option `push.include_content`. */
    includesContent: boolean
  }) {
    this.#database = deps.database
    this.#events = deps.events
    this.#memberships = deps.memberships
    this.#pushRules = deps.pushRules
    this.#unreadCounts = deps.unreadCounts
    this.#getIgnoredUsers = deps.getIgnoredUsers
    this.#getUnwantedInviters = deps.getUnwantedInviters
    this.#clock = deps.clock
    this.#includesContent = deps.includesContent
  }

  /** The event to tell the user of; undefined where there is nothing to tell any more: read, redacted, too old, or he has left. */
  async findEvent(userId: UserId, push: QueuedPush): Promise<MatrixEvent | undefined> {
    return push.queuedTsMs < this.#clock.nowMs() - AGE_MS_MAX ? undefined : this.findUnread(userId, push)
  }

  /** The same, however old. */
  async findUnread(userId: UserId, push: QueuedPush): Promise<MatrixEvent | undefined> {
    if (push.eventId === null || push.roomId === null) return undefined
    const roomId = push.roomId as RoomId
    const [stored, membership, ignored] = await Promise.all([
      this.#events.getEvent(push.eventId as EventId),
      this.#memberships.getMembership(userId, roomId),
      this.#getIgnoredUsers(userId),
    ])
    if (!stored || stored.redactedBy !== undefined || ignored.has(stored.event.sender)) return undefined
    if (membership === 'invite' && stored.event.stateKey === userId)
      return (await this.#getUnwantedInviters(userId)).has(stored.event.sender) ? undefined : stored.event
    if (membership !== 'join') return undefined
    return (await this.countUnread(userId, roomId, push.threadId)) > 0 ? stored.event : undefined
  }

  /** How many events of a thread (empty: of the room's main timeline) notify the user and were not read. */
  async countUnread(userId: UserId, roomId: RoomId, threadId: string): Promise<number> {
    const counts = (await this.#unreadCounts.getForRooms({ userId, roomIds: [roomId] })).get(roomId)
    const unread = threadId === '' ? counts : counts?.threads.get(threadId)
    return unread?.notificationCount ?? 0
  }

  /** The notification of an event, as the pusher's format wants it. */
  async write(
    target: { readonly userId: UserId; readonly pusher: SendingPusher; readonly badge: number },
    event: MatrixEvent,
    { isHighlight }: { isHighlight: boolean },
  ): Promise<JsonObject> {
    const { userId, pusher } = target
    const [facts, rules] = await Promise.all([this.#getFacts(event, userId), this.#pushRules.get(userId)])
    const { tweaks: ruled } = summarizeActions(
      evaluatePushRules(rules.compiled, event, { ...facts, userId, displayName: facts.ownName }).actions,
    )
    const { highlight: _highlight, ...others } = ruled
    const tweaks = isHighlight ? { ...others, highlight: true } : others
    const isUrgent = event.type === 'm.room.encrypted' || isHighlight || tweaks['sound'] !== undefined
    const data = parseData(pusher)
    const common = {
      event_id: event.eventId,
      room_id: event.roomId,
      prio: isUrgent ? 'high' : 'low',
      ...writeCounts(data, target.badge),
    }
    if (data['format'] === 'event_id_only') return { ...common, devices: [writeDevice(pusher, data)] }
    const isTold = this.#includesContent && Buffer.byteLength(JSON.stringify(event.content)) <= CONTENT_BYTES_MAX
    return {
      ...common,
      type: event.type,
      sender: event.sender,
      ...(facts.senderName === undefined ? {} : { sender_display_name: facts.senderName }),
      ...(facts.name === undefined ? {} : { room_name: facts.name }),
      ...(facts.alias === undefined ? {} : { room_alias: facts.alias }),
      ...(event.type === 'm.room.member' ? { user_is_target: event.stateKey === userId } : {}),
      ...(isTold ? { content: event.content } : {}),
      devices: [{ ...writeDevice(pusher, data), tweaks }],
    }
  }

  async #getFacts(event: MatrixEvent, userId: UserId): Promise<RoomFacts> {
    const { roomId, sender } = event
    const pairs = [...new Set([sender, userId])].map((member) => ({ roomId, userId: member }))
    const [records, members, joined] = await Promise.all([
      getTypesAsOf(this.#database, { rooms: [{ roomId, position: NOW }], types: TYPES }),
      getMemberEvents(this.#database, pairs),
      this.#memberships.getOfRoom(roomId),
    ])
    let roomMemberCount = 0
    for (const membership of joined.values()) if (membership === 'join') roomMemberCount += 1
    const state = new Map(records.map((record) => [record.type, stateRecordToEvent(record)]))
    const names = new Map(members.map((record) => [record.stateKey, textOf(stateRecordToEvent(record).content['displayname'])]))
    const roomVersion = getRoomVersion(event.roomVersion)
    const levels = roomVersion && getPowerLevelsOf(roomVersion, (type) => state.get(type))
    return {
      name: textOf(state.get('m.room.name')?.content['name']),
      alias: textOf(state.get('m.room.canonical_alias')?.content['alias']),
      senderName: names.get(sender),
      ownName: names.get(userId),
      roomMemberCount,
      senderPowerLevel: levels ? userPowerLevel(levels, sender) : 0,
      notificationPowerLevels: integersOf(state.get('m.room.power_levels')?.content['notifications']),
    }
  }
}

/** A notification that only tells the badge; undefined where the pusher wants none. Zero is told too: else it would stay. */
export function writeBadge(pusher: SendingPusher, badge: number): JsonObject | undefined {
  const data = parseData(pusher)
  if (data[DISABLE_BADGE] === true) return undefined
  return { counts: { unread: badge }, devices: [writeDevice(pusher, data)] }
}

/** Where the pusher's gateway is. */
export function gatewayUrlOf(pusher: SendingPusher): string {
  return textOf(parseData(pusher)['url']) ?? ''
}

function parseData(pusher: SendingPusher): JsonObject {
  const data: unknown = JSON.parse(pusher.dataJson)
  return isJsonObject(data) ? data : {}
}

function writeCounts(data: JsonObject, badge: number): JsonObject {
  return data[DISABLE_BADGE] === true ? {} : { counts: { unread: badge } }
}

function writeDevice(pusher: SendingPusher, data: JsonObject): JsonObject {
  const { url: _url, ...rest } = data
  return {
    app_id: pusher.appId,
    pushkey: pusher.pushkey,
    pushkey_ts: Math.floor(pusher.createdTsMs / 1000),
    data: rest,
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function integersOf(value: unknown): Readonly<Record<string, number>> {
  if (!isJsonObject(value)) return {}
  return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, number] => Number.isInteger(entry[1])))
}
