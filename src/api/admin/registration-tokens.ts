import { invalidParam, MatrixError } from '../../protocol/errors.ts'
import type { RegistrationTokenRow } from '../../storage/tables/registration-tokens.ts'
import { systemRandom } from '../../util/random.ts'
import { Type } from '../../util/schema.ts'
import { clientEndpoint } from '../client/client-endpoint.ts'

const PATH = '/_synapse/admin/v1/registration_tokens'
const SHAPE = /^[A-Za-z0-9._~-]{1,64}$/
const LENGTH_DEFAULT = 16
const params = Type.Object({ token: Type.String() })
const orNull = Type.Optional(Type.Union([Type.Integer(), Type.Null()]))
const wish = { uses_allowed: orNull, expiry_time: orNull }

/** Lists the tokens with which people may register. Errors: M_FORBIDDEN, M_INVALID_PARAM. As Synapse: docs/usage/administration/admin_api/registration_tokens.md. */
export const listRegistrationTokens = clientEndpoint({
  operationId: 'admin.listRegistrationTokens',
  method: 'GET',
  path: PATH,
  group: 'admin',
  auth: 'admin',
  query: Type.Object({ valid: Type.Optional(Type.Boolean()) }),
  handler: async ({ query }, ctx) => ({ registration_tokens: (await ctx.accountFacts.getTokens(query.valid)).map(tokenJson) }),
})

/** Shows a token. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const getRegistrationToken = clientEndpoint({
  operationId: 'admin.getRegistrationToken',
  method: 'GET',
  path: `${PATH}/:token`,
  group: 'admin',
  auth: 'admin',
  params,
  handler: async ({ params: { token } }, ctx) => tokenJson(found(await ctx.accountFacts.getToken(token), token)),
})

/** Makes a token, named or random. Errors: M_FORBIDDEN, M_INVALID_PARAM, M_BAD_JSON. As Synapse. */
export const createRegistrationToken = clientEndpoint({
  operationId: 'admin.createRegistrationToken',
  method: 'POST',
  path: `${PATH}/new`,
  group: 'admin',
  auth: 'admin',
  body: Type.Object({ ...wish, token: Type.Optional(Type.String()), length: Type.Optional(Type.Integer()) }),
  async handler({ body }, ctx) {
    const length = body.length ?? LENGTH_DEFAULT
    if (length < 1 || length > 64) throw invalidParam('length must be greater than zero and not greater than 64')
    const token = body.token ?? systemRandom.letters(length)
    if (!SHAPE.test(token))
      throw invalidParam('token must consist only of characters matched by the regex [A-Za-z0-9-_.~], and be 1 to 64 long')
    checkWish(body, ctx.clock.nowMs())
    const row = { token, usesAllowed: body.uses_allowed ?? undefined, expiresTsMs: body.expiry_time ?? undefined }
    if (!(await ctx.accountFacts.addToken(row))) throw invalidParam(`Token already exists: ${token}`)
    return tokenJson(found(await ctx.accountFacts.getToken(token), token))
  },
})

/** Changes a token. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM, M_BAD_JSON. As Synapse. */
export const putRegistrationToken = clientEndpoint({
  operationId: 'admin.putRegistrationToken',
  method: 'PUT',
  path: `${PATH}/:token`,
  group: 'admin',
  auth: 'admin',
  params,
  body: Type.Object(wish),
  async handler({ params: { token }, body }, ctx) {
    checkWish(body, ctx.clock.nowMs())
    const change = { usesAllowed: body.uses_allowed, expiresTsMs: body.expiry_time }
    return tokenJson(found(await ctx.accountFacts.changeToken(token, change), token))
  },
})

/** Deletes a token. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const deleteRegistrationToken = clientEndpoint({
  operationId: 'admin.deleteRegistrationToken',
  method: 'DELETE',
  path: `${PATH}/:token`,
  group: 'admin',
  auth: 'admin',
  params,
  async handler({ params: { token } }, ctx) {
    if (!(await ctx.accountFacts.deleteToken(token))) found(undefined, token)
    return {}
  },
})

function checkWish(body: { uses_allowed?: number | null; expiry_time?: number | null }, nowMs: number): void {
  const { uses_allowed: uses, expiry_time: expiresTsMs } = body
  if (typeof uses === 'number' && (uses < 0 || uses > 2 ** 31 - 1))
    throw invalidParam('uses_allowed must be a non-negative integer or null')
  if (typeof expiresTsMs === 'number' && expiresTsMs < nowMs) throw invalidParam('expiry_time must not be in the past')
}

function found(row: RegistrationTokenRow | undefined, token: string): RegistrationTokenRow {
  if (!row) throw new MatrixError('M_NOT_FOUND', `No such registration token: ${token}`)
  return row
}

function tokenJson(row: RegistrationTokenRow): Record<string, unknown> {
  return {
    token: row.token,
    uses_allowed: row.usesAllowed,
    pending: row.pending,
    completed: row.completed,
    expiry_time: row.expiresTsMs,
  }
}
