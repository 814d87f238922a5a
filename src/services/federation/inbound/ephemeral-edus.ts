import { MatrixError } from '../../../protocol/errors.ts'
import { isEventId, isEventUserId, isRoomId, serverNameOf } from '../../../protocol/ids.ts'
import type { RoomId, ServerName, UserId } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import type { Background } from '../../../util/background.ts'
import type { Clock } from '../../../util/clock.ts'
import { pause } from '../../../util/pause.ts'
import type { PresenceName, PresenceState } from '../../ephemeral/presence-state.ts'
import type { PresenceSink } from '../../ephemeral/presence-owner.ts'
import type { ReceiptRequest, Receipts } from '../../ephemeral/receipts.ts'
import type { TypingWriter } from '../../ephemeral/typing.ts'
import type { Memberships } from '../../rooms/memberships.ts'
import type { RoomServers } from '../room-servers.ts'

/** Servers say again who goes on typing; Synapse's time. */
const TYPING_MS = 60_000
const RECEIPTS_PER_EDU_MAX = 1000
const USERS_PER_EDU_MAX = 1000
/** A receipt may come before its event, which has to wait for others. */
const RECEIPT_RETRIES_MS = [500, 2000, 10_000, 30_000] as const
const RECEIPTS_WAITING_MAX = 1000
const STATUS_CHARACTERS_MAX = 2000

/** What EDUs that live for moments only need. */
export interface EphemeralEdusDeps {
  readonly memberships: Pick<Memberships, 'isJoined' | 'getJoinedRooms'>
  readonly roomServers: RoomServers
  readonly typing: TypingWriter
  readonly receipts: Pick<Receipts, 'write'>
  /** Undefined where presence is switched off. */
  readonly presence: PresenceSink | undefined
  readonly background: Background
  readonly clock: Clock
  readonly signal: AbortSignal
}

/** Applies typing notifications, receipts and presence of other servers' users. A server speaks for its own users alone. */
export class EphemeralEdus {
  readonly #deps: EphemeralEdusDeps
  #receiptsWaiting = 0

  constructor(deps: EphemeralEdusDeps) {
    this.#deps = deps
  }

  /** Spec: server-server-api § Typing Notifications, m.typing. */
  async receiveTyping(origin: ServerName, content: JsonObject): Promise<void> {
    const { room_id: roomId, user_id: userId, typing: isTyping } = content
    if (!isRoomId(roomId) || !isUserOf(origin, userId) || typeof isTyping !== 'boolean')
      throw new MatrixError('M_BAD_JSON', 'The typing notification is malformed')
    const { memberships, roomServers, typing } = this.#deps
    await roomServers.assertAllowedByAcl(origin, roomId)
    if (!(await memberships.isJoined(userId, roomId))) return
    await typing.set({ userId, roomId, isTyping, timeoutMs: TYPING_MS })
  }

  /** Private receipts are nobody's business but ours. Spec: server-server-api § Receipts, m.receipt. */
  async receiveReceipts(origin: ServerName, content: JsonObject): Promise<void> {
    let count = 0
    for (const [roomId, byType] of Object.entries(content)) {
      const byUser = isJsonObject(byType) ? byType['m.read'] : undefined
      if (!isRoomId(roomId) || !isJsonObject(byUser) || !(await this.#isAllowed(origin, roomId))) continue
      for (const [userId, receipt] of Object.entries(byUser)) {
        if (++count > RECEIPTS_PER_EDU_MAX) return
        const request = isUserOf(origin, userId) ? readReceipt(roomId, userId, receipt) : undefined
        if (request) await this.#writeReceipt(request)
      }
    }
  }

  async #isAllowed(origin: ServerName, roomId: RoomId): Promise<boolean> {
    try {
      await this.#deps.roomServers.assertAllowedByAcl(origin, roomId)
      return true
    } catch (error) {
      if (error instanceof MatrixError) return false
      throw error
    }
  }

  async #writeReceipt(request: ReceiptRequest): Promise<void> {
    if ((await this.#tryReceipt(request)) || this.#receiptsWaiting >= RECEIPTS_WAITING_MAX) return
    this.#receiptsWaiting += 1
    const { background, signal } = this.#deps
    background.run('receipt of another server', async () => {
      try {
        for (const delayMs of RECEIPT_RETRIES_MS) {
          await pause(delayMs, signal)
          if (signal.aborted || (await this.#tryReceipt(request))) return
        }
      } finally {
        this.#receiptsWaiting -= 1
      }
    })
  }

  /** Returns false where the event is not known yet. */
  async #tryReceipt(request: ReceiptRequest): Promise<boolean> {
    try {
      await this.#deps.receipts.write(request)
      return true
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error
      return error.errcode !== 'M_NOT_FOUND'
    }
  }

  /** Of users with whom nobody here shares a room nothing is kept. Spec: server-server-api § Presence, m.presence. */
  async receivePresence(origin: ServerName, content: JsonObject): Promise<void> {
    const { presence, memberships, clock } = this.#deps
    const { push } = content
    if (!presence || !Array.isArray(push)) return
    const states = new Map<UserId, PresenceState>()
    for (const one of push.slice(0, USERS_PER_EDU_MAX) as unknown[]) {
      const userId = isJsonObject(one) ? one['user_id'] : undefined
      if (!isJsonObject(one) || !isUserOf(origin, userId)) continue
      const state = readPresence(one, clock.nowMs())
      if (state && (await memberships.getJoinedRooms(userId)).length > 0) states.set(userId, state)
    }
    if (states.size === 0) return
    try {
      await presence.setRemote([...states].map(([userId, state]) => ({ userId, state })))
    } catch (error) {
      // Its owner is away. Who is there says so again; that is no reason to refuse a transaction.
      if (!(error instanceof MatrixError)) throw error
    }
  }
}

function isUserOf(origin: ServerName, userId: unknown): userId is UserId {
  return isEventUserId(userId) && serverNameOf(userId) === origin
}

function readReceipt(roomId: RoomId, userId: UserId, receipt: unknown): ReceiptRequest | undefined {
  const eventIds = isJsonObject(receipt) ? receipt['event_ids'] : undefined
  const data = isJsonObject(receipt) && isJsonObject(receipt['data']) ? receipt['data'] : {}
  const eventId: unknown = Array.isArray(eventIds) ? eventIds[0] : undefined
  const { ts, thread_id: threadId } = data
  if (!isEventId(eventId)) return undefined
  return {
    roomId,
    userId,
    eventId,
    receiptType: 'm.read',
    ...(typeof threadId === 'string' && (threadId === 'main' || isEventId(threadId)) ? { threadId } : {}),
    ...(typeof ts === 'number' && Number.isSafeInteger(ts) && ts >= 0 ? { receivedTsMs: ts } : {}),
  }
}

function readPresence(one: JsonObject, nowMs: number): PresenceState | undefined {
  const { presence, status_msg: statusMsg, last_active_ago: agoMs, currently_active: isActive } = one
  if (presence !== 'online' && presence !== 'unavailable' && presence !== 'offline') return undefined
  const state: PresenceName = presence
  return {
    state,
    statusMsg: typeof statusMsg === 'string' ? statusMsg.slice(0, STATUS_CHARACTERS_MAX).toWellFormed() : undefined,
    lastActiveTsMs: typeof agoMs === 'number' && agoMs >= 0 ? Math.max(0, Math.round(nowMs - agoMs)) : 0,
    isCurrentlyActive: state === 'online' && isActive === true,
  }
}
