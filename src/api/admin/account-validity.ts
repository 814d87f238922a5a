import { MatrixError } from '../../protocol/errors.ts'
import { parseUserId } from '../../protocol/ids.ts'
import { Type } from '../../util/schema.ts'
import { clientEndpoint } from '../client/client-endpoint.ts'

/** Sets until when an account is valid. Errors: M_FORBIDDEN, M_NOT_FOUND. Source: Synapse docs/admin_api/account_validity.md. */
export const setAccountValidity = clientEndpoint({
  operationId: 'admin.setAccountValidity',
  method: 'POST',
  path: '/_synapse/admin/v1/account_validity/validity',
  group: 'admin',
  auth: 'admin',
  body: Type.Object({
    user_id: Type.String(),
    expiration_ts: Type.Optional(Type.Integer({ minimum: 0 })),
    enable_renewal_emails: Type.Optional(Type.Boolean()),
  }),
  async handler({ body }, { accountValidity, accounts }) {
    const userId = parseUserId(body.user_id)
    if (!(await accounts.exists(userId))) throw new MatrixError('M_NOT_FOUND', 'User not found')
    const options = { expiresTsMs: body.expiration_ts, wantsMails: body.enable_renewal_emails }
    return { expiration_ts: await accountValidity.renew(userId, options) }
  },
})
