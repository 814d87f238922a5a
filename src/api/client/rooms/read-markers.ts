import { invalidParam } from '../../../protocol/errors.ts'
import { parseEventId, parseRoomId } from '../../../protocol/ids.ts'
import type { EventId } from '../../../protocol/ids.ts'
import { READ_RECEIPT_TYPES } from '../../../services/ephemeral/receipts.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** Sets the fully-read marker and read receipts. Idempotent. Errors: M_INVALID_PARAM, M_FORBIDDEN, M_NOT_FOUND. Spec: read_markers.yaml. */
export const setReadMarker = clientEndpoint({
  operationId: 'setReadMarker',
  method: 'POST',
  path: '/_matrix/client/v3/rooms/:roomId/read_markers',
  group: 'receipts',
  auth: 'user',
  params: Type.Object({ roomId: Type.String() }),
  body: Type.Record(Type.String(), Type.Unknown()),
  async handler({ params, body, requester }, ctx) {
    const { userId, deviceId } = requester
    ctx.presence.userActive(userId, deviceId)
    const roomId = parseRoomId(params.roomId)
    const fullyRead = parseMarker(body, 'm.fully_read')
    const receipts = READ_RECEIPT_TYPES.map((receiptType) => ({ receiptType, eventId: parseMarker(body, receiptType) }))
    await Promise.all([
      fullyRead && ctx.receipts.setFullyRead({ userId, roomId, eventId: fullyRead }),
      ...receipts.map(({ receiptType, eventId }) => eventId && ctx.receipts.write({ userId, roomId, eventId, receiptType })),
    ])
    return {}
  },
})

function parseMarker(body: Readonly<Record<string, unknown>>, type: string): EventId | undefined {
  const value = Object.hasOwn(body, type) ? body[type] : undefined
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string') throw invalidParam(`'${type}' must be an event ID`)
  return parseEventId(value)
}
