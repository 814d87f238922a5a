import type { DeviceId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { deleteMessages, getInboxChanges, getMessages } from '../../storage/tables/device-inbox.ts'
import { EntityChanges } from '../../streams/entity-changes.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'

const DEVICES_MAX = 100_000
/** What one /sync hands out at the most. */
export const MESSAGES_PER_SYNC_MAX = 100

export interface InboxRange {
  readonly userId: UserId
  readonly deviceId: DeviceId
  readonly after: StreamPosition
  readonly upTo: StreamPosition
  /** Default and highest: MESSAGES_PER_SYNC_MAX. */
  readonly limit?: number
}

export interface InboxPage {
  /** Serialised JSON of `{type, sender, content}`, oldest first. */
  readonly events: readonly string[]
  /** Where the next page starts; the `upTo` of the range when this was the last. */
  readonly upTo: StreamPosition
}

/**
 * Reads and deletes messages that wait for devices. Each message has a position of its own, so a page never splits one. A message
 * is deleted only when its device came back with a token that covers it. Promise P5. Spec: client-server-api § Send-to-Device
 * messaging.
 */
export class ToDeviceInbox {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #changes = new EntityChanges<string>({ entitiesMax: DEVICES_MAX })
  /** Up to where each inbox is known to be empty. */
  readonly #cleaned = cacheOfEntries<string, StreamPosition>(DEVICES_MAX)

  constructor(deps: { database: Database; hub: StreamHub }) {
    this.#database = deps.database
    this.#hub = deps.hub
    deps.hub.setReadSince('to_device', async (_lane, after, upTo) => {
      const changes = await getInboxChanges(deps.database, after, upTo)
      return changes.map(({ position, userId, deviceId }) => ({ position, row: { userId, deviceId } }))
    })
    deps.hub.onRow('to_device', (row, position) => this.#changes.note(inboxKey(row.userId, row.deviceId), position))
    deps.hub.onReset('to_device', (head) => this.#changes.reset(head))
  }

  /** Called once, when the heads of the streams are known and before the first request. */
  start(): void {
    this.#changes.start(this.#hub.head('to_device'))
  }

  /** Tells whether there may be messages after the position, without a query; false is certain. */
  hasMessages(device: { readonly userId: UserId; readonly deviceId: DeviceId; readonly after: StreamPosition }): boolean {
    return this.#changes.hasChanged(inboxKey(device.userId, device.deviceId), device.after)
  }

  /** The device's messages in (after, upTo], oldest first, as many as the limit allows. */
  async getMessages(range: InboxRange): Promise<InboxPage> {
    if (!this.hasMessages(range)) return { events: [], upTo: range.upTo }
    const limit = Math.max(1, Math.min(range.limit ?? MESSAGES_PER_SYNC_MAX, MESSAGES_PER_SYNC_MAX))
    const rows = await getMessages(this.#database, { ...range, limit })
    const last = rows.at(-1)
    return { events: rows.map((row) => row.messageJson), upTo: rows.length === limit && last ? last.position : range.upTo }
  }

  /** Deletes the messages that the device has got: those up to the token that it came back with. */
  async deleteUpTo(device: {
    readonly userId: UserId
    readonly deviceId: DeviceId
    readonly upTo: StreamPosition
  }): Promise<void> {
    const key = inboxKey(device.userId, device.deviceId)
    const cleaned = this.#cleaned.get(key)
    // Once per process and device it is done unasked: who knows what was left before.
    if (cleaned !== undefined && (device.upTo <= cleaned || !this.#changes.hasChanged(key, cleaned))) return
    await deleteMessages(this.#database, device)
    this.#cleaned.set(key, device.upTo)
  }
}

/** Ids hold no U+0000, so no two devices share a key. */
function inboxKey(userId: string, deviceId: string): string {
  return `${userId}\u0000${deviceId}`
}
