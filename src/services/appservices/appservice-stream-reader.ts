import { parseEventRecord } from '../events/event-reader.ts'
import { toClientEventJson } from '../../protocol/events/client-event.ts'
import type { Pdu } from '../../protocol/events/event.ts'
import type { UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getUsersWithChangedDevices, getWaitingMessages } from '../../storage/tables/appservices.ts'
import type { WaitingMessage } from '../../storage/tables/appservices.ts'
import { EVENT_FLAGS } from '../../storage/tables/event-graph.ts'
import { getEventsSince } from '../../storage/tables/events.ts'
import type { StreamEventRecord } from '../../storage/tables/events.ts'
import { getPresencesSince } from '../../storage/tables/presence.ts'
import type { PresenceRow } from '../../storage/tables/presence.ts'
import { getReceiptRowsSince } from '../../storage/tables/receipts.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { Clock } from '../../util/clock.ts'
import { buildReceiptContent } from '../ephemeral/receipt-content.ts'
import { presenceEventJson } from '../ephemeral/presence-state.ts'
import type { PresenceName, PresenceState } from '../ephemeral/presence-state.ts'
import type { Memberships } from '../rooms/memberships.ts'
import type { Appservice } from './appservice.ts'
import type { OwnedMembers } from './owned-members.ts'
import type { RoomInterest } from './room-interest.ts'

/** Of a stream: after < position <= upTo. */
interface Range {
  readonly after: number
  readonly upTo: number
}

/** An event that concerns an application service. */
export interface InterestingEvent {
  readonly json: string
  /** A user of its namespace who is invited: he may have to be made first. */
  readonly invitee: UserId | undefined
}

/** Reads of the streams what concerns one application service. Spec: application-service-api § Pushing events. */
export class AppserviceStreamReader {
  readonly #database: Database
  readonly #appservice: Appservice
  readonly #interest: RoomInterest
  readonly #members: OwnedMembers
  readonly #memberships: Memberships
  readonly #clock: Clock

  constructor(deps: {
    database: Database
    appservice: Appservice
    interest: RoomInterest
    members: OwnedMembers
    memberships: Memberships
    clock: Clock
  }) {
    this.#database = deps.database
    this.#appservice = deps.appservice
    this.#interest = deps.interest
    this.#members = deps.members
    this.#memberships = deps.memberships
    this.#clock = deps.clock
  }

  /** Begins anew from another place. */
  restart(): void {
    this.#members.clear()
  }

  /** Events that concern the service as of then; pages must come in order. */
  async readEvents(range: Range): Promise<InterestingEvent[]> {
    const found: InterestingEvent[] = []
    for (const record of await getEventsSince(this.#database, { lane: 0, ...range })) {
      if ((record.flags & EVENT_FLAGS.hidden) !== 0) continue
      const { event } = parseEventRecord(record)
      const { roomId, sender, stateKey } = event
      const owned = event.type === 'm.room.member' && stateKey !== undefined && this.#appservice.ownsUser(stateKey)
      const concerns =
        owned ||
        this.#appservice.ownsUser(sender) ||
        (await this.#members.hadAny(roomId, record.position)) ||
        (await this.#interest.watches(roomId))
      if (owned) this.#members.note({ roomId, userId: stateKey, membership: event.content['membership'] })
      if (!concerns) continue
      found.push({
        json: toClientEventJson(event, { unsignedJson: unsignedOf(record, this.#clock.nowMs() - event.originServerTs) }),
        invitee: owned && event.content['membership'] === 'invite' ? (stateKey as UserId) : undefined,
      })
    }
    return found
  }

  /** Receipts of rooms as `m.receipt` events. Private ones only of the service's own users. */
  async readReceipts({ after, upTo }: Range): Promise<string[]> {
    const rows = await getReceiptRowsSince(this.#database, { after: after as StreamPosition, upTo: upTo as StreamPosition })
    const events: string[] = []
    for (const [roomId, all] of Map.groupBy(rows, (row) => row.roomId as string)) {
      const visible = all.filter((row) => row.receiptType !== 'm.read.private' || this.#appservice.ownsUser(row.userId))
      if (visible.length === 0 || !(await this.#interest.has(roomId))) continue
      for (const [viewer, receipts] of Map.groupBy(visible, (row) => (row.receiptType === 'm.read.private' ? row.userId : ''))) {
        const content = buildReceiptContent(
          receipts.map((row) => ({ ...row, threadId: row.threadId === '' ? undefined : row.threadId })),
          viewer as UserId,
        )
        if (content !== undefined) events.push(`{"type":"m.receipt","room_id":${JSON.stringify(roomId)},"content":${content}}`)
      }
    }
    return events
  }

  /** Presence of users who share rooms with the service, or are of its namespace. */
  async readPresence(range: Range): Promise<string[]> {
    const events: string[] = []
    for (const row of await getPresencesSince(this.#database, range)) {
      const userId = row.userId as UserId
      if (await this.#concerns(userId)) events.push(presenceEventJson(userId, stateOf(row), this.#clock.nowMs()))
    }
    return events
  }

  /** `m.typing` events of those rooms that concern the service. */
  async writeTyping(rooms: ReadonlyMap<string, readonly string[]>): Promise<string[]> {
    const events: string[] = []
    for (const [roomId, userIds] of rooms)
      if (await this.#interest.has(roomId))
        events.push(JSON.stringify({ type: 'm.typing', room_id: roomId, content: { user_ids: userIds } }))
    return events
  }

  /** Messages for devices of the service's users. `upTo` is how far they were read. */
  async readMessages(range: Range, limit: number): Promise<{ messages: readonly WaitingMessage[]; upTo: number }> {
    const all = await getWaitingMessages(this.#database, { ...range, limit })
    const upTo = all.length < limit ? range.upTo : (all.at(-1)?.position ?? range.upTo)
    return { messages: all.filter((message) => this.#appservice.ownsUser(message.userId)), upTo }
  }

  /** Users whose devices changed, and who share rooms with the service or are of its namespace. */
  async readDeviceLists(range: Range): Promise<string[]> {
    const changed: string[] = []
    for (const userId of await getUsersWithChangedDevices(this.#database, range))
      if (await this.#concerns(userId as UserId)) changed.push(userId)
    return changed
  }

  async #concerns(userId: UserId): Promise<boolean> {
    if (this.#appservice.ownsUser(userId)) return true
    for (const roomId of await this.#memberships.getJoinedRooms(userId)) if (await this.#interest.has(roomId)) return true
    return false
  }
}

function unsignedOf(record: StreamEventRecord, ageMs: number): string {
  const unsigned: Record<string, unknown> = { age: Math.max(0, ageMs) }
  if (record.replacedJson !== null && record.replacedEventId !== null) {
    unsigned['prev_content'] = (JSON.parse(record.replacedJson) as Pdu).content
    unsigned['replaces_state'] = record.replacedEventId
  }
  return JSON.stringify(unsigned)
}

function stateOf(row: PresenceRow): PresenceState {
  const statusMsg = row.statusMsgJson === null ? undefined : (JSON.parse(row.statusMsgJson) as string)
  return {
    state: row.state as PresenceName,
    statusMsg,
    lastActiveTsMs: row.lastActiveTsMs,
    isCurrentlyActive: row.isCurrentlyActive,
  }
}
