import { createHash } from 'node:crypto'
import type { OutgoingAnswer, OutgoingClient, OutgoingRequest } from '../../http/outgoing-client.ts'
import { OutgoingRequestError } from '../../http/outgoing-errors.ts'
import { invalidParam, MatrixError } from '../../protocol/errors.ts'
import type { ServerName, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { SigningKey } from '../../protocol/signing-key.ts'
import { parseStrictJson } from '../../protocol/strict-json.ts'
import { encodeBase64Url } from '../../util/base64.ts'
import { buildXMatrix } from '../federation/request-signing.ts'

const TIMEOUT_MS = 20_000
const BYTES_MAX = 256 * 1024
const ID_SERVER_CHARS_MAX = 255
/** A host, perhaps a port, perhaps a path. */
const ID_SERVER = /^(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+)(?::[0-9]{1,5})?(?:\/[0-9A-Za-z._~-]+)*$/
const API = '/_matrix/identity/v2'
const UNBIND_PATH = `${API}/3pid/unbind`
/** An identity server says by these that it can not unbind. */
const NO_SUPPORT = new Set([400, 404, 501])

/** An identity server that a client names, with the client's token for it. */
export interface IdentityServerAccess {
  readonly idServer: string
  readonly idAccessToken: string
}

interface Threepid {
  readonly medium: string
  readonly address: string
}

/** Talks to identity servers that clients name, so only to addresses that anybody may be led to. Spec: identity-service-api. */
export class IdentityServers {
  readonly #outgoing: OutgoingClient
  readonly #serverName: ServerName
  readonly #signingKey: SigningKey

  constructor(deps: { outgoing: OutgoingClient; serverName: ServerName; signingKey: SigningKey }) {
    this.#outgoing = deps.outgoing
    this.#serverName = deps.serverName
    this.#signingKey = deps.signingKey
  }

  /** Has an identity server know a proven address as the user's. Throws what the identity server says. */
  async bind(access: IdentityServerAccess, session: { sid: string; clientSecret: string }, userId: UserId): Promise<Threepid> {
    const body = { sid: session.sid, client_secret: session.clientSecret, mxid: userId }
    const { medium, address } = await this.#ask(access, { method: 'POST', path: '/3pid/bind', body })
    if (typeof medium !== 'string' || typeof address !== 'string') throw badAnswer()
    return { medium, address }
  }

  /** Has an identity server forget whose an address is. Returns false where it can not. Throws 502 M_UNKNOWN. */
  async unbind(idServer: string, userId: UserId, threepid: Threepid): Promise<boolean> {
    const base = baseUrlOf(idServer)
    const content = { mxid: userId, threepid: { medium: threepid.medium, address: threepid.address } }
    const signed = { method: 'POST', uri: UNBIND_PATH, origin: this.#serverName, destination: idServer, content }
    const { status } = await send(this.#outgoing, {
      url: base + UNBIND_PATH,
      method: 'POST',
      headers: { authorization: buildXMatrix(signed, this.#signingKey), 'content-type': 'application/json' },
      body: JSON.stringify(content),
    })
    if (status < 300) return true
    if (NO_SUPPORT.has(status)) return false
    throw unreachable()
  }

  /** Asks whose an address is; undefined where the identity server does not know. Spec: identity-service-api § Association lookup. */
  async lookup(access: IdentityServerAccess, { medium, address }: Threepid): Promise<string | undefined> {
    const { algorithms, lookup_pepper: pepper } = await this.#ask(access, { method: 'GET', path: '/hash_details' })
    if (!Array.isArray(algorithms) || typeof pepper !== 'string') throw badAnswer()
    const isHashed = algorithms.includes('sha256')
    if (!isHashed && !algorithms.includes('none')) throw badAnswer()
    const asked = isHashed ? hashOf(`${address} ${medium} ${pepper}`) : `${address} ${medium}`
    const body = { addresses: [asked], algorithm: isHashed ? 'sha256' : 'none', pepper }
    const { mappings } = await this.#ask(access, { method: 'POST', path: '/lookup', body })
    if (!isJsonObject(mappings)) throw badAnswer()
    const found = mappings[asked]
    return typeof found === 'string' ? found : undefined
  }

  /** Leaves an invite at an identity server for whoever comes to own the address. Spec: identity-service-api § Invitation storage. */
  storeInvite(access: IdentityServerAccess, invite: JsonObject): Promise<JsonObject> {
    return this.#ask(access, { method: 'POST', path: '/store-invite', body: invite })
  }

  async #ask(
    access: IdentityServerAccess,
    request: { method: 'GET' | 'POST'; path: string; body?: JsonObject },
  ): Promise<JsonObject> {
    const { idServer, idAccessToken } = access
    if (!/^[\x21-\x7e]+$/.test(idAccessToken)) throw invalidParam("'id_access_token' is no token")
    const answer = await send(this.#outgoing, {
      url: `${baseUrlOf(idServer)}${API}${request.path}`,
      method: request.method,
      headers: {
        authorization: `Bearer ${idAccessToken}`,
        ...(request.body ? { 'content-type': 'application/json' } : {}),
      },
      ...(request.body ? { body: JSON.stringify(request.body) } : {}),
    })
    return readAnswer(answer)
  }
}

/** The identity server that sends our messages to phones (`account_threepid_delegates.msisdn`), named by the administrator. */
export class PhoneVerifier {
  readonly #outgoing: OutgoingClient
  readonly #baseUrl: string
  readonly #submitUrl: string

  constructor(deps: { outgoing: OutgoingClient; baseUrl: string; submitUrl: string }) {
    this.#outgoing = deps.outgoing
    this.#baseUrl = deps.baseUrl.replace(/\/$/, '')
    this.#submitUrl = deps.submitUrl
  }

  /** Has a message sent. Returns what the client is answered. */
  async requestToken(request: JsonObject): Promise<JsonObject> {
    const answer = await this.#post('/validate/msisdn/requestToken', request)
    // The token comes back to us, who know where to hand it on.
    return { ...answer, submit_url: this.#submitUrl }
  }

  /** Hands on what stood in the message. */
  submitToken(submitted: JsonObject): Promise<JsonObject> {
    return this.#post('/validate/msisdn/submitToken', submitted)
  }

  /** What a session has proven; undefined where nothing. */
  async getValidated(session: {
    sid: string
    clientSecret: string
  }): Promise<{ medium: string; address: string; validatedTsMs: number } | undefined> {
    const query = new URLSearchParams({ sid: session.sid, client_secret: session.clientSecret })
    const answer = await send(this.#outgoing, {
      url: `${this.#baseUrl}/_matrix/identity/api/v1/3pid/getValidated3pid?${query.toString()}`,
      isPlainHttpAllowed: true,
    })
    if (answer.status >= 300) return undefined
    const { medium, address, validated_at: validatedAt } = readAnswer(answer)
    if (typeof medium !== 'string' || typeof address !== 'string' || typeof validatedAt !== 'number') return undefined
    return { medium, address, validatedTsMs: Math.trunc(validatedAt) }
  }

  async #post(path: string, body: JsonObject): Promise<JsonObject> {
    const answer = await send(this.#outgoing, {
      url: `${this.#baseUrl}/_matrix/identity/api/v1${path}`,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      isPlainHttpAllowed: true,
    })
    return readAnswer(answer)
  }
}

/** Checks the name of an identity server: host, perhaps a port, perhaps a path. Throws M_INVALID_PARAM. */
export function parseIdServer(idServer: string): string {
  if (idServer.length > ID_SERVER_CHARS_MAX || !ID_SERVER.test(idServer))
    throw invalidParam("'id_server' must be a host name with an optional port")
  return idServer
}

function baseUrlOf(idServer: string): string {
  return `https://${parseIdServer(idServer)}`
}

async function send(outgoing: OutgoingClient, request: Omit<OutgoingRequest, 'timeoutMs' | 'bytesMax'>): Promise<OutgoingAnswer> {
  try {
    return await outgoing.request({ ...request, timeoutMs: TIMEOUT_MS, bytesMax: BYTES_MAX })
  } catch (error) {
    if (error instanceof OutgoingRequestError) throw unreachable(error)
    throw error
  }
}

/** The object that a server answered. Its errors become ours; that it does not know the token says nothing about ours. */
function readAnswer({ status, bytes }: OutgoingAnswer): JsonObject {
  const answer = parseAnswer(bytes)
  if (status < 300) {
    if (!answer) throw badAnswer()
    return answer
  }
  const { errcode, error } = answer ?? {}
  if (status >= 500 || typeof errcode !== 'string') throw unreachable()
  const message = typeof error === 'string' ? error : 'The identity server refused'
  if (status === 401) throw new MatrixError('M_FORBIDDEN', `The identity server says: ${message}`)
  throw new MatrixError('M_UNKNOWN', message, { status, extra: { errcode } })
}

function parseAnswer(bytes: Buffer): JsonObject | undefined {
  try {
    const answer = parseStrictJson(bytes, { canonicalNumbers: false })
    return isJsonObject(answer) ? answer : undefined
  } catch (error) {
    if (error instanceof MatrixError) return undefined
    throw error
  }
}

function unreachable(cause?: unknown): MatrixError {
  return new MatrixError('M_UNKNOWN', 'The identity server can not be reached', { status: 502, cause })
}

function badAnswer(): MatrixError {
  return new MatrixError('M_UNKNOWN', 'The identity server answered what we do not understand', { status: 502 })
}

function hashOf(text: string): string {
  return encodeBase64Url(createHash('sha256').update(text).digest())
}
