import type { HttpRequest } from '../../http/endpoint.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { parseServerName } from '../../protocol/ids.ts'
import type { ServerName } from '../../protocol/ids.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import type { Background } from '../../util/background.ts'
import type { Clock } from '../../util/clock.ts'
import type { DestinationBackoff } from './destination-backoff.ts'
import type { KeyRing } from './key-ring.ts'
import { parseXMatrix, signedRequestJson } from './request-signing.ts'
import type { XMatrix } from './request-signing.ts'

/** A server signs with one key, or with two while it changes it. */
const HEADERS_MAX = 5

/** Tells which server sent a request, by the signature in its X-Matrix headers. Spec: server-server-api § Request Authentication. */
export class FederationAuthenticator {
  readonly #serverName: ServerName
  readonly #keyRing: KeyRing
  readonly #backoff: DestinationBackoff
  readonly #clock: Clock
  readonly #background: Background
  readonly #isAllowed: (serverName: ServerName) => boolean

  constructor(deps: {
    serverName: ServerName
    keyRing: KeyRing
    backoff: DestinationBackoff
    clock: Clock
    background: Background
    /** `federation_domain_whitelist`. */
    isAllowed: (serverName: ServerName) => boolean
  }) {
    this.#serverName = deps.serverName
    this.#keyRing = deps.keyRing
    this.#backoff = deps.backoff
    this.#clock = deps.clock
    this.#background = deps.background
    this.#isAllowed = deps.isAllowed
  }

  /**
   * Returns the server that signed. `body`: as parsed; undefined if there was none. Throws M_UNAUTHORIZED (401), and M_FORBIDDEN
   * for servers outside `federation_domain_whitelist`.
   */
  async authenticate(request: HttpRequest, body: JsonValue | undefined): Promise<{ readonly origin: ServerName }> {
    const headers = request.authorizations.map(parseXMatrix)
    const [first] = headers
    if (first === undefined || headers.length > HEADERS_MAX) throw unauthorized('The request is not signed')
    const origin = this.#checkOrigin(first)
    const signatures: Record<string, string> = {}
    for (const header of headers) {
      if (header?.origin !== first.origin) throw unauthorized('The Authorization headers do not belong together')
      // Old servers leave it out; their signature covers it all the same.
      if (header.destination !== undefined && header.destination !== this.#serverName) {
        throw unauthorized('The request is signed for another destination')
      }
      signatures[header.keyId] = header.signature
    }
    const content = signedRequestJson({
      method: request.method,
      uri: request.url,
      origin,
      destination: this.#serverName,
      content: body,
    })
    const json: JsonObject = { ...content, signatures: { [origin]: signatures } }
    await this.#keyRing.verifyJson(origin, json, { validAtTsMs: this.#clock.nowMs(), isLive: true })
    // It is there: whatever waits for it may be sent.
    this.#background.run('a server was heard from', () => this.#backoff.recordSuccess(origin))
    return { origin }
  }

  #checkOrigin(header: XMatrix): ServerName {
    const origin = parseOrigin(header.origin)
    if (origin === this.#serverName) throw unauthorized('The request claims to be our own')
    if (!this.#isAllowed(origin)) throw new MatrixError('M_FORBIDDEN', `We do not talk to ${origin}`)
    return origin
  }
}

function parseOrigin(origin: string): ServerName {
  try {
    return parseServerName(origin)
  } catch (error) {
    if (error instanceof MatrixError) throw unauthorized('The origin is no server name')
    throw error
  }
}

function unauthorized(message: string): MatrixError {
  return new MatrixError('M_UNAUTHORIZED', message)
}
