import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import { unbindResult } from './administrative-contact.ts'

/** Closes the requester's account for good, after confirmation. Spec: account_deactivation.yaml. */
export const deactivateAccount = clientEndpoint({
  operationId: 'deactivateAccount',
  method: 'POST',
  path: '/_matrix/client/v3/account/deactivate',
  group: 'account',
  auth: 'user',
  body: Type.Object({
    auth: Type.Optional(Type.Unknown()),
    erase: Type.Optional(Type.Boolean()),
    id_server: Type.Optional(Type.String()),
  }),
  isBodyOptional: true,
  async handler({ body, requester, request }, context) {
    await context.interactiveAuth.requireOwner(requester, { method: request.method, url: request.url, auth: body.auth })
    const isUnbound = await context.threepids.unbindAll(requester.userId)
    await context.accounts.deactivate(requester.userId, { isErased: body.erase ?? false })
    return unbindResult(isUnbound)
  },
})
