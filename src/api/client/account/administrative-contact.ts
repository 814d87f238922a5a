import { MatrixError } from '../../../protocol/errors.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

const MEDIUM = Type.Union([Type.Literal('email'), Type.Literal('msisdn')])

/** Lists the account's e-mail addresses and phone numbers. Spec: administrative_contact.yaml. */
export const getAccount3PIDs = clientEndpoint({
  operationId: 'getAccount3PIDs',
  method: 'GET',
  path: '/_matrix/client/v3/account/3pid',
  group: 'account',
  auth: 'user',
  async handler({ requester }, context) {
    const threepids = await context.accounts.getThreepids(requester.userId)
    return {
      threepids: threepids.map(({ medium, address, validatedTsMs, addedTsMs }) => ({
        medium,
        address,
        validated_at: validatedTsMs,
        added_at: addedTsMs,
      })),
    }
  },
})

const SESSION_FIELDS = { sid: Type.String(), client_secret: Type.String() } as const
const ADDRESS_BODY = Type.Object({ medium: MEDIUM, address: Type.String(), id_server: Type.Optional(Type.String()) })

/** Adds a proven address to the account: the old form of `add3PID`. Errors: M_THREEPID_AUTH_FAILED, M_THREEPID_IN_USE. Spec: administrative_contact.yaml. */
export const post3pids = clientEndpoint({
  operationId: 'post3PIDs',
  method: 'POST',
  path: '/_matrix/client/v3/account/3pid',
  group: 'account',
  auth: 'user',
  body: Type.Object({
    three_pid_creds: Type.Optional(Type.Object(SESSION_FIELDS)),
    threePidCreds: Type.Optional(Type.Object(SESSION_FIELDS)),
  }),
  async handler({ body, requester }, { threepids }) {
    const credentials = body.three_pid_creds ?? body.threePidCreds
    if (!credentials) throw new MatrixError('M_MISSING_PARAM', 'Missing parameter: three_pid_creds')
    await threepids.add(requester.userId, { sid: credentials.sid, clientSecret: credentials.client_secret })
    return {}
  },
})

/** Adds a proven address to the account, after confirmation. Errors: M_THREEPID_AUTH_FAILED, M_THREEPID_IN_USE. Spec: administrative_contact.yaml. */
export const add3pid = clientEndpoint({
  operationId: 'add3PID',
  method: 'POST',
  path: '/_matrix/client/v3/account/3pid/add',
  group: 'account',
  auth: 'user',
  body: Type.Object({ ...SESSION_FIELDS, auth: Type.Optional(Type.Unknown()) }),
  async handler({ body, requester, request }, { threepids, interactiveAuth }) {
    threepids.assertChangeable()
    await interactiveAuth.requireOwner(requester, { method: request.method, url: request.url, auth: body.auth, mayReuse: true })
    await threepids.add(requester.userId, { sid: body.sid, clientSecret: body.client_secret })
    return {}
  },
})

/** Has an identity server know an address as the user's. Errors: those of the identity server. Spec: administrative_contact.yaml. */
export const bind3pid = clientEndpoint({
  operationId: 'bind3PID',
  method: 'POST',
  path: '/_matrix/client/v3/account/3pid/bind',
  group: 'account',
  auth: 'user',
  body: Type.Object({ ...SESSION_FIELDS, id_server: Type.String(), id_access_token: Type.String() }),
  async handler({ body, requester }, { threepids }) {
    const access = { idServer: body.id_server, idAccessToken: body.id_access_token }
    await threepids.bind(requester.userId, access, { sid: body.sid, clientSecret: body.client_secret })
    return {}
  },
})

/** Has identity servers forget whose an address is. Spec: administrative_contact.yaml. */
export const unbind3pid = clientEndpoint({
  operationId: 'unbind3pidFromAccount',
  method: 'POST',
  path: '/_matrix/client/v3/account/3pid/unbind',
  group: 'account',
  auth: 'user',
  body: ADDRESS_BODY,
  async handler({ body, requester }, { threepids }) {
    return unbindResult(await threepids.unbind(requester.userId, body, body.id_server))
  },
})

/** Takes an address away from the account, and unbinds it. Idempotent. Spec: administrative_contact.yaml. */
export const delete3pid = clientEndpoint({
  operationId: 'delete3pidFromAccount',
  method: 'POST',
  path: '/_matrix/client/v3/account/3pid/delete',
  group: 'account',
  auth: 'user',
  body: ADDRESS_BODY,
  async handler({ body, requester }, { threepids }) {
    return unbindResult(await threepids.delete(requester.userId, body, body.id_server))
  },
})

/** What an answer says of the identity servers. */
export function unbindResult(isUnbound: boolean): { id_server_unbind_result: 'success' | 'no-support' } {
  return { id_server_unbind_result: isUnbound ? 'success' : 'no-support' }
}
