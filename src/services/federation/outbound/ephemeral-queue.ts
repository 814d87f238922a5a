import type { JsonObject } from '../../../protocol/json.ts'
import type { PresenceRow } from '../../../streams/streams.ts'

/** Of more, the oldest are dropped: the destination is not taking them. */
const ITEMS_MAX = 1000
const TYPING_AGE_MAX_MS = 30_000
const PRESENCE_AGE_MAX_MS = 300_000
const RECEIPT_AGE_MAX_MS = 24 * 3600_000
const PRESENCES_PER_EDU = 50

/** What waits in memory only: of each thing the newest. */
export type EphemeralItem =
  | {
      readonly kind: 'typing'
      readonly roomId: string
      readonly userId: string
      readonly isTyping: boolean
      readonly tsMs: number
    }
  | { readonly kind: 'presence'; readonly presence: PresenceRow; readonly tsMs: number }
  | {
      readonly kind: 'receipt'
      readonly roomId: string
      readonly userId: string
      readonly eventId: string
      readonly threadId: string | undefined
      readonly tsMs: number
    }

/** Typing, presence and receipts on their way to one destination. Spec: server-server-api § EDUs. */
export class EphemeralQueue {
  readonly #items = new Map<string, EphemeralItem>()

  get isEmpty(): boolean {
    return this.#items.size === 0
  }

  /** Adds an item in the place of the one before of the same thing. */
  add(item: EphemeralItem): void {
    const key = keyOf(item)
    this.#items.delete(key)
    this.#items.set(key, item)
    if (this.#items.size > ITEMS_MAX) this.#items.delete(this.#items.keys().next().value as string)
  }

  /** Takes back what could not be sent, where there is nothing newer; typing is not worth a second try. */
  putBack(items: readonly EphemeralItem[]): void {
    for (const item of items) if (item.kind !== 'typing' && !this.#items.has(keyOf(item))) this.#items.set(keyOf(item), item)
  }

  /** Takes what is not too old out, as at most `limit` EDUs. */
  take(limit: number, nowMs: number): { readonly edus: JsonObject[]; readonly items: EphemeralItem[] } {
    const packer = new EduPacker(limit, nowMs)
    const items: EphemeralItem[] = []
    for (const [key, item] of this.#items) {
      const isTooOld = nowMs - item.tsMs > AGE_MAX_MS[item.kind]
      if (!isTooOld && !packer.add(item)) continue
      this.#items.delete(key)
      if (!isTooOld) items.push(item)
    }
    return { edus: packer.edus, items }
  }
}

const AGE_MAX_MS = { typing: TYPING_AGE_MAX_MS, presence: PRESENCE_AGE_MAX_MS, receipt: RECEIPT_AGE_MAX_MS } as const

function keyOf(item: EphemeralItem): string {
  if (item.kind === 'presence') return `presence ${item.presence.userId}`
  const place = `${item.kind} ${item.roomId} ${item.userId}`
  return item.kind === 'receipt' ? `${place} ${item.threadId ?? ''}` : place
}

type Receipts = Record<string, { 'm.read': Record<string, JsonObject> }>

/** Puts many items into few EDUs. */
class EduPacker {
  readonly edus: JsonObject[] = []
  readonly #limit: number
  readonly #nowMs: number
  readonly #receipts: Receipts[] = []
  #presences: JsonObject[] | undefined

  constructor(limit: number, nowMs: number) {
    this.#limit = limit
    this.#nowMs = nowMs
  }

  /** Returns false where there is no room for it. */
  add(item: EphemeralItem): boolean {
    switch (item.kind) {
      case 'typing': {
        const content = { room_id: item.roomId, user_id: item.userId, typing: item.isTyping }
        return this.#open('m.typing', content)
      }
      case 'presence':
        return this.#addPresence(item.presence)
      case 'receipt':
        return this.#addReceipt(item)
    }
  }

  #open(type: string, content: JsonObject): boolean {
    if (this.edus.length >= this.#limit) return false
    this.edus.push({ edu_type: type, content })
    return true
  }

  #addPresence(presence: PresenceRow): boolean {
    if (!this.#presences || this.#presences.length >= PRESENCES_PER_EDU) {
      const push: JsonObject[] = []
      if (!this.#open('m.presence', { push })) return false
      this.#presences = push
    }
    const { userId, state, statusMsg, lastActiveTsMs, isCurrentlyActive } = presence
    this.#presences.push({
      user_id: userId,
      presence: state,
      last_active_ago: lastActiveTsMs === 0 ? 0 : Math.max(0, this.#nowMs - lastActiveTsMs),
      currently_active: isCurrentlyActive,
      ...(statusMsg === undefined ? {} : { status_msg: statusMsg }),
    })
    return true
  }

  /** An EDU has place for one receipt of a user in a room; those of further threads go into further EDUs. */
  #addReceipt(receipt: Extract<EphemeralItem, { kind: 'receipt' }>): boolean {
    let content = this.#receipts.find((one) => one[receipt.roomId]?.['m.read'][receipt.userId] === undefined)
    if (!content) {
      content = {}
      if (!this.#open('m.receipt', content)) return false
      this.#receipts.push(content)
    }
    const users = (content[receipt.roomId] ??= { 'm.read': {} })['m.read']
    const { eventId, threadId, tsMs } = receipt
    users[receipt.userId] = {
      event_ids: [eventId],
      data: { ts: tsMs, ...(threadId === undefined ? {} : { thread_id: threadId }) },
    }
    return true
  }
}
