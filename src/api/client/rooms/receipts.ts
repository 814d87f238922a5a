import { invalidParam } from '../../../protocol/errors.ts'
import { parseEventId, parseRoomId } from '../../../protocol/ids.ts'
import { READ_RECEIPT_TYPES } from '../../../services/ephemeral/receipts.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** A thread root's event id, or `main`. */
const THREAD_ID_BYTES_MAX = 255

/** Marks an event as read, or sets the fully-read marker. Idempotent. Errors: M_INVALID_PARAM, M_FORBIDDEN, M_NOT_FOUND. Spec: receipts.yaml. */
export const postReceipt = clientEndpoint({
  operationId: 'postReceipt',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/:roomId/receipt/:receiptType/:eventId',
  group: 'receipts',
  auth: 'user',
  params: Type.Object({ roomId: Type.String(), receiptType: Type.String(), eventId: Type.String() }),
  body: Type.Object({ thread_id: Type.Optional(Type.Unknown()) }),
  isBodyOptional: true,
  async handler({ params, body, requester }, ctx) {
    const { userId, deviceId } = requester
    ctx.presence.userActive(userId, deviceId)
    const roomId = parseRoomId(params.roomId)
    const eventId = parseEventId(params.eventId)
    const threadId = body.thread_id === undefined ? undefined : parseThreadId(body.thread_id)
    if (params.receiptType === 'm.fully_read') {
      if (threadId !== undefined) throw invalidParam('thread_id is not compatible with m.fully_read receipts')
      await ctx.receipts.setFullyRead({ userId, roomId, eventId })
      return {}
    }
    const receiptType = READ_RECEIPT_TYPES.find((type) => type === params.receiptType)
    if (receiptType === undefined) throw invalidParam(`Receipt type must be ${READ_RECEIPT_TYPES.join(', ')} or m.fully_read`)
    await ctx.receipts.write({ userId, roomId, eventId, receiptType, threadId })
    return {}
  },
})

function parseThreadId(value: unknown): string {
  if (typeof value !== 'string' || value === '') throw invalidParam('thread_id field must be a non-empty string')
  if (Buffer.byteLength(value) > THREAD_ID_BYTES_MAX || value.includes('\u0000') || !value.isWellFormed())
    throw invalidParam('thread_id is malformed')
  return value
}
