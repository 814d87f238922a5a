import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** Exchanges a refresh token for new tokens. Errors: M_UNKNOWN_TOKEN. Spec: refresh.yaml. */
export const refresh = clientEndpoint({
  operationId: 'refresh',
  method: 'POST',
  path: '/_matrix/client/v3/refresh',
  group: 'login',
  auth: 'none',
  body: Type.Object({ refresh_token: Type.String() }),
  async handler({ body }, context) {
    const session = await context.sessions.refresh(body.refresh_token)
    return {
      access_token: session.accessToken,
      ...(session.refreshToken === undefined ? {} : { refresh_token: session.refreshToken }),
      ...(session.expiresInMs === undefined ? {} : { expires_in_ms: session.expiresInMs }),
    }
  },
})
