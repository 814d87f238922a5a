import { invalidParam } from '../../protocol/errors.ts'
import type { EventId, RoomId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getClassHighlights, getClassNotifications, getOwnNotifications } from '../../storage/tables/notifications.ts'
import type { NotificationRow } from '../../storage/tables/notifications.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { ClientEvents, Viewer } from '../events/client-events.ts'
import type { EventReader, StoredEvent } from '../events/event-reader.ts'
import type { Memberships } from '../rooms/memberships.ts'
import type { PushRules } from './push-rules.ts'
import { queryReadings } from './unread-query.ts'
import type { Readings } from './unread-query.ts'

const LIMIT_DEFAULT = 50
const LIMIT_MAX = 500

/** Lists the events of which a user was notified. Spec: client-server-api § Listing Notifications. */
export class Notifications {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #memberships: Memberships
  readonly #pushRules: PushRules
  readonly #events: EventReader
  readonly #clientEvents: ClientEvents

  constructor(deps: {
    database: Database
    hub: StreamHub
    memberships: Memberships
    pushRules: PushRules
    events: EventReader
    clientEvents: ClientEvents
  }) {
    this.#database = deps.database
    this.#hub = deps.hub
    this.#memberships = deps.memberships
    this.#pushRules = deps.pushRules
    this.#events = deps.events
    this.#clientEvents = deps.clientEvents
  }

  /** One page, newest first, as the JSON text of the answer. Throws M_INVALID_PARAM for a token that is not ours. */
  async list(
    viewer: Viewer,
    page: { from: string | undefined; limit: number | undefined; onlyHighlights: boolean },
  ): Promise<string> {
    const { userId } = viewer
    const limit = Math.max(1, Math.min(page.limit ?? LIMIT_DEFAULT, LIMIT_MAX))
    const rows = await this.#find(viewer, {
      before: parseToken(page.from),
      limit: limit + 1,
      onlyHighlights: page.onlyHighlights,
    })
    const shown = rows.slice(0, limit)
    const roomIds = [...new Set(shown.map((row) => row.roomId as RoomId))]
    const [readings, stored] = await Promise.all([
      queryReadings(this.#database, { userId, roomIds, upTo: this.#hub.head('events') }),
      this.#events.getEvents(shown.map((row) => row.eventId as EventId)),
    ])
    const known = shown.flatMap((row): [NotificationRow, StoredEvent][] => {
      const event = stored.get(row.eventId as EventId)
      return event ? [[row, event]] : []
    })
    const jsons = await this.#clientEvents.serialize(
      known.map(([, event]) => event),
      viewer,
      { omitRoomId: true },
    )
    const items = known.map(([row, event], index) =>
      toJson(row, event, { eventJson: jsons[index] ?? '{}', isRead: isRead(readings, row) }),
    )
    const last = shown.at(-1)
    const next = rows.length > limit && last ? `,"next_token":"${last.position}"` : ''
    return `{"notifications":[${items.join(',')}]${next}}`
  }

  async #find({ userId }: Viewer, page: { before: number; limit: number; onlyHighlights: boolean }): Promise<NotificationRow[]> {
    const [joined, rules] = await Promise.all([this.#memberships.getJoinedRooms(userId), this.#pushRules.get(userId)])
    const classRoomIds = joined.filter((roomId) => rules.profileFor(roomId).baseline === 'class')
    const range = { userId, classRoomIds, ...page }
    const [own, ofClass] = await Promise.all([
      getOwnNotifications(this.#database, range),
      page.onlyHighlights ? getClassHighlights(this.#database, range) : getClassNotifications(this.#database, range),
    ])
    return [...own, ...ofClass].sort((a, b) => b.position - a.position).slice(0, page.limit)
  }
}

function parseToken(from: string | undefined): number {
  if (from === undefined) return Number.MAX_SAFE_INTEGER
  const position = /^[0-9]{1,16}$/.test(from) ? Number(from) : Number.NaN
  if (!Number.isSafeInteger(position)) throw invalidParam("The query parameter 'from' has a token that is not known")
  return position
}

function isRead(readings: Readings, row: NotificationRow): boolean {
  const room = readings.rooms.find(({ roomId }) => roomId === row.roomId)
  if (!room) return false
  if (row.threadId === '') return row.position <= room.main.position
  const thread = readings.threads.find(({ roomId, threadId }) => roomId === row.roomId && threadId === row.threadId)
  return row.position <= Math.max(room.base.position, thread?.position ?? 0)
}

function toJson(
  row: NotificationRow,
  stored: StoredEvent,
  { eventJson, isRead: read }: { eventJson: string; isRead: boolean },
): string {
  const actions = row.isHighlight ? ['notify', { set_tweak: 'highlight' }] : ['notify']
  const head = JSON.stringify({ room_id: row.roomId, read, ts: stored.event.originServerTs, actions })
  return `${head.slice(0, -1)},"event":${eventJson}}`
}
