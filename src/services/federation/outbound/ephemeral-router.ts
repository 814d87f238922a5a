import { serverNameOf } from '../../../protocol/ids.ts'
import type { RoomId, ServerName, UserId } from '../../../protocol/ids.ts'
import type { StreamHub } from '../../../streams/stream-hub.ts'
import type { PresenceRow } from '../../../streams/streams.ts'
import type { Background } from '../../../util/background.ts'
import type { Clock } from '../../../util/clock.ts'
import type { EphemeralItem } from './ephemeral-queue.ts'
import type { EventRecipients } from './event-recipients.ts'
import type { FederationSenders } from './federation-senders.ts'

/** Other servers forget who types after a while: who goes on is told of again. */
const TYPING_REPEAT_MS = 25_000
/** Presence is gathered this long. */
const PRESENCE_GATHER_MS = 500
/** Users whose presence waits to be addressed; of more, nothing is told. */
const PRESENCES_MAX = 10_000

/**
 * Tells other servers who of our users types, reads and is there, from the rows of the streams; each process for the destinations that
 * it sends to. Nothing of it is stored: after a restart the next change is told. Spec: server-server-api § Typing Notifications,
 * § Presence, § Receipts.
 */
export class EphemeralRouter {
  readonly #recipients: EventRecipients
  readonly #senders: FederationSenders
  readonly #background: Background
  readonly #clock: Clock
  readonly #serverName: ServerName
  readonly #excludedRooms: ReadonlySet<string>
  readonly #typing = new Map<RoomId, Set<string>>()
  #presences = new Map<UserId, PresenceRow>()
  #typingTimer: NodeJS.Timeout | undefined
  #presenceTimer: NodeJS.Timeout | undefined

  constructor(deps: {
    hub: StreamHub
    recipients: EventRecipients
    senders: FederationSenders
    background: Background
    clock: Clock
    serverName: ServerName
    tellsPresence: boolean
    /** Option exclude_rooms_from_presence. */
    excludedRooms: readonly string[]
  }) {
    this.#recipients = deps.recipients
    this.#senders = deps.senders
    this.#background = deps.background
    this.#clock = deps.clock
    this.#serverName = deps.serverName
    this.#excludedRooms = new Set(deps.excludedRooms)
    deps.hub.onRow('typing', (row) => this.#noteTyping(row.roomId as RoomId, row.userIds))
    deps.hub.onReset('typing', () => this.#typing.clear())
    deps.hub.onRow('receipts', (row) => {
      if (row.receiptType !== 'm.read' || !this.#isOurs(row.userId) || !this.#senders.isSending) return
      const { roomId, userId, eventId, threadId, receivedTsMs: tsMs } = row
      this.#toRoom(roomId as RoomId, { kind: 'receipt', roomId, userId, eventId, threadId, tsMs })
    })
    if (deps.tellsPresence) deps.hub.onRow('presence', (row) => this.#notePresence(row))
  }

  /** Stops the timers. */
  stop(): void {
    clearInterval(this.#typingTimer)
    clearTimeout(this.#presenceTimer)
  }

  #isOurs(userId: string): boolean {
    return serverNameOf(userId) === this.#serverName
  }

  #noteTyping(roomId: RoomId, userIds: readonly string[]): void {
    const now = new Set(userIds.filter((userId) => this.#isOurs(userId)))
    const before = this.#typing.get(roomId) ?? new Set()
    if (now.size === 0) this.#typing.delete(roomId)
    else this.#typing.set(roomId, now)
    if (!this.#senders.isSending) return
    for (const userId of now) if (!before.has(userId)) this.#tellTyping(roomId, userId, true)
    for (const userId of before) if (!now.has(userId)) this.#tellTyping(roomId, userId, false)
    if (now.size > 0) this.#repeatSoon()
  }

  #tellTyping(roomId: RoomId, userId: string, isTyping: boolean): void {
    this.#toRoom(roomId, { kind: 'typing', roomId, userId, isTyping, tsMs: this.#clock.nowMs() })
  }

  #repeatSoon(): void {
    this.#typingTimer ??= setTimeout(() => {
      this.#typingTimer = undefined
      for (const [roomId, userIds] of this.#typing) for (const userId of userIds) this.#tellTyping(roomId, userId, true)
      if (this.#typing.size > 0 && this.#senders.isSending) this.#repeatSoon()
    }, TYPING_REPEAT_MS).unref()
  }

  #notePresence(row: PresenceRow): void {
    if (!this.#senders.isSending || !this.#isOurs(row.userId) || this.#presences.size >= PRESENCES_MAX) return
    this.#presences.set(row.userId as UserId, row)
    this.#presenceTimer ??= setTimeout(() => {
      this.#presenceTimer = undefined
      const presences = this.#presences
      this.#presences = new Map()
      this.#background.run('federation: presence', () => this.#tellPresences(presences))
    }, PRESENCE_GATHER_MS)
  }

  async #tellPresences(presences: ReadonlyMap<UserId, PresenceRow>): Promise<void> {
    for (const [userId, presence] of presences) {
      const servers = await this.#recipients.getSharing(userId, this.#excludedRooms)
      await this.#add(servers, { kind: 'presence', presence, tsMs: this.#clock.nowMs() })
    }
  }

  #toRoom(roomId: RoomId, item: EphemeralItem): void {
    this.#background.run('federation: ephemeral events', async () => this.#add(await this.#recipients.getNow(roomId), item))
  }

  async #add(servers: ReadonlySet<ServerName>, item: EphemeralItem): Promise<void> {
    for (const server of servers) if (this.#senders.isSenderOf(server)) await this.#senders.addEphemeral(server, item)
  }
}
