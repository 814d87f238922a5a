import type { Static, TSchema } from 'typebox'
import { toHttpResponse } from '../../http/endpoint.ts'
import type { Endpoint, HttpMethod, HttpRequest, ListenerResource } from '../../http/endpoint.ts'
import { invalidParam, MatrixError } from '../../protocol/errors.ts'
import { parseStrictJson } from '../../protocol/strict-json.ts'
import type { Masquerade, Requester } from '../../services/accounts/requester.ts'
import type { EndpointGroupName } from '../endpoint-groups.ts'
import { checkInput, bodyCheck, textCheck, queryObject } from '../endpoint-input.ts'
import type { InputCheck } from '../endpoint-input.ts'
import type { ClientContext } from './context.ts'

/** JSON bodies are smaller than this unless the endpoint says otherwise. An event may have 65,536 bytes; state at room creation a few of them. */
const BODY_BYTES_MAX = 200 * 1024

/** none: no token looked at · optional · guest: guests too · user: everyone but guests · admin: server administrators. */
export type AuthMode = 'none' | 'optional' | 'guest' | 'user' | 'admin'

interface EndpointOptions<Auth extends AuthMode, Params extends TSchema, Query extends TSchema, Body extends TSchema> {
  readonly operationId: string
  readonly method: HttpMethod
  /** The current path; `/_matrix/client/v3/…` is served under `r0` as well. */
  readonly path: string
  /** Historical or unstable paths besides. */
  readonly otherPaths?: readonly string[]
  readonly resource?: ListenerResource
  readonly group: EndpointGroupName
  readonly auth: Auth
  /** Locked accounts may call it. Spec: client-server-api § Account locking. */
  readonly isLockedAllowed?: boolean
  /** Accounts that have ended (option `account_validity`) may call it. */
  readonly isExpiredAllowed?: boolean
  readonly params?: Params
  /** Values come coerced: numbers, booleans, arrays of repeated parameters. */
  readonly query?: Query
  /** Without it the body is not read. */
  readonly body?: Body
  readonly bodyBytesMax?: number
  /** An absent body counts as `{}` (POST /join and the like). */
  readonly isBodyOptional?: boolean | ((request: HttpRequest) => boolean)
  /** The body goes into an event: only integers in ±(2^53−1). */
  readonly isCanonicalBody?: boolean
  handler(input: HandlerInput<Auth, Params, Query, Body>, context: ClientContext): Promise<unknown>
}

export interface HandlerInput<Auth extends AuthMode, Params extends TSchema, Query extends TSchema, Body extends TSchema> {
  readonly params: Static<Params>
  readonly query: Static<Query>
  readonly body: Static<Body>
  readonly requester: Auth extends 'none' ? undefined : Auth extends 'optional' ? Requester | undefined : Requester
  readonly request: HttpRequest
}

/**
 * Makes an endpoint of the client API: reads and checks parameters, query and body against their schemas, authenticates,
 * calls the handler and serialises what it returns (a value, SerializedJson, or OwnResponse).
 */
export function clientEndpoint<
  const Auth extends AuthMode,
  Params extends TSchema = TSchema,
  Query extends TSchema = TSchema,
  Body extends TSchema = TSchema,
>(options: EndpointOptions<Auth, Params, Query, Body>): Endpoint<ClientContext> {
  const checkParams = options.params ? textCheck(options.params) : undefined
  const checkQuery = options.query ? textCheck(options.query) : undefined
  const checkBody = options.body ? bodyCheck(options.body) : undefined
  const { group, operationId, isExpiredAllowed = false } = options
  const admitted = { group, operationId, isExpiredAllowed }
  return {
    operationId: options.operationId,
    method: options.method,
    paths: [...withHistoricalPaths(options.path), ...(options.otherPaths ?? [])],
    resource: options.resource ?? 'client',
    group: options.group,
    async run(request, context) {
      const requester =
        options.auth === 'none' ? undefined : await authenticate(options.auth, request, context, options.isLockedAllowed)
      const admission = requester && context.admission.check(requester, admitted)
      if (admission) await admission
      // Identifiers never hold U+0000, and PostgreSQL takes it in no text: one place refuses it for all of them.
      if (request.url.includes('%00')) throw invalidParam('U+0000 is not allowed in paths and queries')
      const params = checkParams ? checkInput(checkParams, { ...request.params }, 'path') : request.params
      const query = checkQuery ? checkInput(checkQuery, queryObject(request), 'query') : undefined
      const body = checkBody ? await readJson(request, options, checkBody) : undefined
      const result = await options.handler(
        { params, query, body, requester, request } as HandlerInput<Auth, Params, Query, Body>,
        context,
      )
      return toHttpResponse(result)
    },
  }
}

function withHistoricalPaths(path: string): string[] {
  return path.startsWith('/_matrix/client/v3/') ? [path, path.replace('/v3/', '/r0/')] : [path]
}

async function authenticate(
  mode: Exclude<AuthMode, 'none'>,
  request: HttpRequest,
  context: ClientContext,
  isLockedAllowed = false,
): Promise<Requester | undefined> {
  const token = accessTokenOf(request)
  if (token === undefined) {
    if (mode === 'optional') return undefined
    throw new MatrixError('M_MISSING_TOKEN', 'Missing access token')
  }
  const requester = await context.authenticator.authenticate(
    token,
    {
      remoteAddress: request.remoteAddress,
      userAgent: request.headers['user-agent'],
    },
    { isLockedAllowed, masquerade: masqueradeOf(request) },
  )
  if (requester.isGuest && (mode === 'user' || mode === 'admin'))
    throw new MatrixError('M_GUEST_ACCESS_FORBIDDEN', 'Guest access not allowed')
  if (mode === 'admin' && !requester.isAdmin) throw new MatrixError('M_FORBIDDEN', 'You are not a server admin')
  return requester
}

/** As whom an application service acts. Spec: application-service-api § Identity assertion; MSC3202 has the older name. */
function masqueradeOf({ query }: HttpRequest): Masquerade | undefined {
  const [userId] = query.get('user_id') ?? []
  const [deviceId] = query.get('device_id') ?? query.get('org.matrix.msc3202.device_id') ?? []
  return userId === undefined && deviceId === undefined ? undefined : { userId, deviceId }
}

/** The token of the Authorization header or of the query. Spec: client-server-api § Using access tokens. */
export function accessTokenOf(request: HttpRequest): string | undefined {
  const header = request.headers.authorization
  if (header !== undefined) {
    const match = /^Bearer +(\S+)$/i.exec(header)
    if (!match) throw new MatrixError('M_MISSING_TOKEN', 'Invalid Authorization header')
    return match[1]
  }
  const [token] = request.query.get('access_token') ?? []
  return token === undefined || token === '' ? undefined : token
}

async function readJson(
  request: HttpRequest,
  options: { bodyBytesMax?: number; isBodyOptional?: boolean | ((request: HttpRequest) => boolean); isCanonicalBody?: boolean },
  check: InputCheck,
): Promise<unknown> {
  const bytes = await request.readBody(options.bodyBytesMax ?? BODY_BYTES_MAX)
  const { isBodyOptional = false } = options
  if (bytes.length === 0 && (typeof isBodyOptional === 'function' ? isBodyOptional(request) : isBodyOptional)) return {}
  return checkInput(check, parseStrictJson(bytes, { canonicalNumbers: options.isCanonicalBody ?? false }), 'body')
}
