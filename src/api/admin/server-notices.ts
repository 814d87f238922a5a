import type { Static } from 'typebox'
import { MatrixError } from '../../protocol/errors.ts'
import { parseUserId } from '../../protocol/ids.ts'
import type { EventId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import { systemRandom } from '../../util/random.ts'
import { Type } from '../../util/schema.ts'
import { clientEndpoint } from '../client/client-endpoint.ts'
import type { ClientContext } from '../client/context.ts'

const PATH = '/_synapse/admin/v1/send_server_notice'
const TXN_LETTERS = 24
const body = Type.Object({
  user_id: Type.String(),
  type: Type.Optional(Type.String()),
  state_key: Type.Optional(Type.String()),
  content: Type.Unknown(),
})

/** Writes to a user in the server's name. Errors: M_FORBIDDEN, M_NOT_FOUND, M_BAD_JSON, M_UNKNOWN. As Synapse: docs/admin_api/server_notices.md. */
export const sendServerNotice = clientEndpoint({
  operationId: 'admin.sendServerNotice',
  method: 'POST',
  path: PATH,
  group: 'admin',
  auth: 'admin',
  body,
  handler: ({ body: notice }, ctx) => send(ctx, notice, systemRandom.letters(TXN_LETTERS)),
})

/** Writes to a user once for each transaction id. Errors: M_FORBIDDEN, M_NOT_FOUND, M_BAD_JSON, M_UNKNOWN. As Synapse. */
export const putServerNotice = clientEndpoint({
  operationId: 'admin.putServerNotice',
  method: 'PUT',
  path: `${PATH}/:txnId`,
  group: 'admin',
  auth: 'admin',
  params: Type.Object({ txnId: Type.String() }),
  body,
  handler: ({ params, body: notice, requester }, ctx) => send(ctx, notice, `${requester.userId} ${params.txnId}`),
})

async function send(ctx: ClientContext, notice: Static<typeof body>, transactionId: string): Promise<{ event_id: EventId }> {
  const { content } = notice
  if (!isJsonObject(content)) throw new MatrixError('M_BAD_JSON', 'content must be an object')
  const eventId = await ctx.serverNotices.send({
    userId: parseUserId(notice.user_id),
    type: notice.type ?? 'm.room.message',
    stateKey: notice.state_key,
    content,
    transactionId,
  })
  return { event_id: eventId }
}
