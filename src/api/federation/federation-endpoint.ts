import type { Static, TSchema } from 'typebox'
import { toHttpResponse } from '../../http/endpoint.ts'
import type { Endpoint, HttpMethod, HttpRequest, HttpResponse, ListenerResource } from '../../http/endpoint.ts'
import { invalidParam } from '../../protocol/errors.ts'
import { parseRoomId } from '../../protocol/ids.ts'
import type { ServerName } from '../../protocol/ids.ts'
import type { JsonValue } from '../../protocol/json.ts'
import { parseStrictJson } from '../../protocol/strict-json.ts'
import type { EndpointGroupName } from '../endpoint-groups.ts'
import { checkInput, bodyCheck, textCheck, queryObject } from '../endpoint-input.ts'
import type { FederationContext } from './context.ts'

/** JSON bodies are smaller than this unless the endpoint says otherwise. */
const BODY_BYTES_MAX = 200 * 1024

/** signed: the request carries another server's signature · none: anybody may ask. */
export type FederationAuthMode = 'signed' | 'none'

interface EndpointOptions<Auth extends FederationAuthMode, Params extends TSchema, Query extends TSchema, Body extends TSchema> {
  readonly operationId: string
  readonly method: HttpMethod
  readonly path: string
  /** Historical or unstable paths besides. */
  readonly otherPaths?: readonly string[]
  readonly resource?: ListenerResource
  readonly group: EndpointGroupName
  readonly auth: Auth
  /** The room named by the path parameter `roomId` has a server ACL that must let the origin in. */
  readonly isAclProtected?: boolean
  readonly params?: Params
  /** Values come coerced: numbers, booleans, arrays of repeated parameters. */
  readonly query?: Query
  /** Without it the body is not read. */
  readonly body?: Body
  readonly bodyBytesMax?: number
  /** The body holds events: only integers in ±(2^53−1). */
  readonly isCanonicalBody?: boolean
  handler(input: HandlerInput<Auth, Params, Query, Body>, context: FederationContext): Promise<unknown>
}

interface HandlerInput<Auth extends FederationAuthMode, Params extends TSchema, Query extends TSchema, Body extends TSchema> {
  readonly params: Static<Params>
  readonly query: Static<Query>
  readonly body: Static<Body>
  /** The server that asks, as its signature proves. */
  readonly origin: Auth extends 'none' ? undefined : ServerName
  readonly request: HttpRequest
}

/**
 * Makes an endpoint of the federation API: checks who signed the request, waits for that server's turn, checks parameters,
 * query and body against their schemas and the room's server ACL, calls the handler and serialises what it returns.
 * Spec: server-server-api § Authentication, § Server Access Control Lists (ACLs).
 */
export function federationEndpoint<
  const Auth extends FederationAuthMode,
  Params extends TSchema = TSchema,
  Query extends TSchema = TSchema,
  Body extends TSchema = TSchema,
>(options: EndpointOptions<Auth, Params, Query, Body>): Endpoint<FederationContext> {
  const checkParams = options.params ? textCheck(options.params) : undefined
  const checkQuery = options.query ? textCheck(options.query) : undefined
  const checkBody = options.body ? bodyCheck(options.body) : undefined

  async function answer(input: {
    request: HttpRequest
    json: JsonValue | undefined
    origin: ServerName | undefined
    context: FederationContext
  }): Promise<HttpResponse> {
    const { request, json, origin, context } = input
    const params = checkParams ? checkInput(checkParams, { ...request.params }, 'path') : request.params
    const query = checkQuery ? checkInput(checkQuery, queryObject(request), 'query') : undefined
    const body = checkBody ? checkInput(checkBody, json, 'body') : undefined
    if (options.isAclProtected === true && origin !== undefined)
      await context.roomServers.assertAllowedByAcl(origin, parseRoomId(request.params['roomId'] ?? ''))
    const result = await options.handler(
      { params, query, body, origin, request } as HandlerInput<Auth, Params, Query, Body>,
      context,
    )
    return toHttpResponse(result)
  }

  return {
    operationId: options.operationId,
    method: options.method,
    paths: [options.path, ...(options.otherPaths ?? [])],
    resource: options.resource ?? 'federation',
    group: options.group,
    async run(request, context) {
      // Identifiers never hold U+0000, and PostgreSQL takes it in no text: one place refuses it for all of them.
      if (request.url.includes('%00')) throw invalidParam('U+0000 is not allowed in paths and queries')
      const json = checkBody ? await readJson(request, options) : undefined
      if (options.auth === 'none') return answer({ request, json, origin: undefined, context })
      const { origin } = await context.federationAuthenticator.authenticate(request, json)
      return context.originLimiter.run(origin, request.signal, () => answer({ request, json, origin, context }))
    },
  }
}

/** Parses the body; its schema is checked later, for whom we know. */
async function readJson(request: HttpRequest, options: { bodyBytesMax?: number; isCanonicalBody?: boolean }): Promise<JsonValue> {
  const bytes = await request.readBody(options.bodyBytesMax ?? BODY_BYTES_MAX)
  return parseStrictJson(bytes, { canonicalNumbers: options.isCanonicalBody ?? false })
}
