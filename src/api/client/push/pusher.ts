import type { Static } from 'typebox'
import { invalidParam, MatrixError } from '../../../protocol/errors.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { NewPusher } from '../../../services/push/pushers.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

const PUSHKEY_BYTES_MAX = 512
const APP_ID_CHARS_MAX = 64
const NAME_CHARS_MAX = 512
const DATA_BYTES_MAX = 16_384
/** Where a push gateway listens. Spec: push-gateway-api. */
const GATEWAY_PATH = '/_matrix/push/v1/notify'

/** Lists the user's pushers. Spec: pusher.yaml. */
export const getPushers = clientEndpoint({
  operationId: 'getPushers',
  method: 'GET',
  path: '/_matrix/client/v3/pushers',
  group: 'client_reads',
  auth: 'user',
  async handler({ requester }, ctx) {
    const pushers = await ctx.pushers.getOfUser(requester.userId)
    return {
      pushers: pushers.map((pusher) => ({
        pushkey: pusher.pushkey,
        kind: pusher.kind,
        app_id: pusher.appId,
        app_display_name: pusher.appDisplayName,
        device_display_name: pusher.deviceDisplayName,
        profile_tag: pusher.profileTag,
        lang: pusher.lang,
        data: JSON.parse(pusher.dataJson) as JsonObject,
      })),
    }
  },
})

const pusherBody = Type.Object({
  pushkey: Type.Optional(Type.Unknown()),
  app_id: Type.Optional(Type.Unknown()),
  kind: Type.Optional(Type.Unknown()),
  app_display_name: Type.Optional(Type.Unknown()),
  device_display_name: Type.Optional(Type.Unknown()),
  profile_tag: Type.Optional(Type.Unknown()),
  lang: Type.Optional(Type.Unknown()),
  data: Type.Optional(Type.Unknown()),
  append: Type.Optional(Type.Boolean()),
})

/** Sets or (`kind: null`) deletes a pusher. Idempotent. Errors: M_MISSING_PARAM, M_INVALID_PARAM. Spec: pusher.yaml. */
export const postPusher = clientEndpoint({
  operationId: 'postPusher',
  method: 'POST',
  path: '/_matrix/client/v3/pushers/set',
  group: 'client_reads',
  auth: 'user',
  body: pusherBody,
  async handler({ body, requester }, ctx) {
    requireKeys(body, ['kind', 'app_id', 'pushkey'])
    const key = { appId: parseText(body.app_id, 'app_id', APP_ID_CHARS_MAX), pushkey: parsePushkey(body.pushkey) }
    if (body.kind === null) await ctx.pushers.delete({ userId: requester.userId, ...key })
    else await ctx.pushers.set(requester, { ...key, ...parsePusher(body) }, { isAppended: body.append === true })
    return {}
  },
})

function requireKeys(body: Static<typeof pusherBody>, keys: readonly (keyof Static<typeof pusherBody>)[]): void {
  const missing = keys.filter((key) => body[key] === undefined)
  if (missing.length > 0) throw new MatrixError('M_MISSING_PARAM', `Missing parameters: ${missing.join(', ')}`)
}

function parsePusher(body: Static<typeof pusherBody>): Omit<NewPusher, 'appId' | 'pushkey'> {
  requireKeys(body, ['app_display_name', 'device_display_name', 'lang', 'data'])
  const { kind } = body
  if (kind !== 'http' && kind !== 'email') throw invalidParam("The kind of a pusher is 'http' or 'email'")
  return {
    kind,
    appDisplayName: parseText(body.app_display_name, 'app_display_name', NAME_CHARS_MAX),
    deviceDisplayName: parseText(body.device_display_name, 'device_display_name', NAME_CHARS_MAX),
    profileTag:
      body.profile_tag === undefined || body.profile_tag === null
        ? ''
        : parseText(body.profile_tag, 'profile_tag', NAME_CHARS_MAX),
    lang: parseText(body.lang, 'lang', NAME_CHARS_MAX),
    data: kind === 'http' ? parseGatewayData(body.data) : parseData(body.data),
  }
}

function parseText(value: unknown, name: string, charsMax: number): string {
  if (typeof value !== 'string' || value.length > charsMax || value.includes('\u0000') || !value.isWellFormed()) {
    throw invalidParam(`'${name}' must be a text of at most ${charsMax} characters`)
  }
  return value
}

function parsePushkey(value: unknown): string {
  const pushkey = parseText(value, 'pushkey', PUSHKEY_BYTES_MAX)
  if (Buffer.byteLength(pushkey) > PUSHKEY_BYTES_MAX) throw invalidParam(`'pushkey' is longer than ${PUSHKEY_BYTES_MAX} bytes`)
  return pushkey
}

function parseData(value: unknown): JsonObject {
  if (!isJsonObject(value)) throw invalidParam("'data' must be an object")
  if (Buffer.byteLength(JSON.stringify(value)) > DATA_BYTES_MAX) throw invalidParam("'data' is too large")
  return value
}

function parseGatewayData(value: unknown): JsonObject {
  const data = parseData(value)
  const { url, format } = data
  if (url === undefined) throw new MatrixError('M_MISSING_PARAM', "'data' needs a 'url'")
  const parsed = typeof url === 'string' ? URL.parse(url) : null
  if (!parsed || (parsed.protocol !== 'https:' && parsed.protocol !== 'http:'))
    throw invalidParam("'url' in 'data' must be an HTTP URL")
  if (parsed.pathname !== GATEWAY_PATH) throw invalidParam(`'url' in 'data' must have the path ${GATEWAY_PATH}`)
  if (format !== undefined && format !== null && typeof format !== 'string')
    throw invalidParam("'format' in 'data' must be a text")
  return data
}
