import type { UserId } from '../../protocol/ids.ts'

/** A receipt as readers get it. */
export interface Receipt {
  readonly roomId: string
  readonly receiptType: string
  readonly userId: string
  readonly eventId: string
  /** Undefined for unthreaded ones. */
  readonly threadId: string | undefined
  readonly receivedTsMs: number
}

/** Tells whether the user may learn of the receipt. Spec: client-server-api § Private read receipts. */
export function isReceiptVisible(receipt: Pick<Receipt, 'receiptType' | 'userId'>, viewer: UserId): boolean {
  return receipt.receiptType !== 'm.read.private' || receipt.userId === viewer
}

/**
 * Builds the content of an `m.receipt` event as JSON text, from the receipts of one room, oldest first; undefined where
 * the viewer may see none. Of one user, type and thread only the newest stays. Where a user has a threaded and an
 * unthreaded receipt at one event, there is place for one: the unthreaded (MSC4102).
 */
export function buildReceiptContent(receipts: readonly Receipt[], viewer: UserId): string | undefined {
  const seen = new Set<string>()
  const content: Record<string, Record<string, Record<string, { ts: number; thread_id?: string }>>> = {}
  for (let index = receipts.length - 1; index >= 0; index--) {
    const receipt = receipts[index]
    if (!receipt || !isReceiptVisible(receipt, viewer)) continue
    const key = `${receipt.receiptType} ${receipt.userId} ${receipt.threadId ?? ''}`
    if (seen.has(key)) continue
    seen.add(key)
    const users = ((content[receipt.eventId] ??= {})[receipt.receiptType] ??= {})
    if (users[receipt.userId] !== undefined && receipt.threadId !== undefined) continue
    users[receipt.userId] = {
      ts: receipt.receivedTsMs,
      ...(receipt.threadId === undefined ? {} : { thread_id: receipt.threadId }),
    }
  }
  return seen.size === 0 ? undefined : JSON.stringify(content)
}
