import { MatrixError } from '../../../protocol/errors.ts'
import { serverNameOf } from '../../../protocol/ids.ts'
import type { ServerName, UserId } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import type { FederationRequest, FederationRequester } from '../federation-client.ts'
import { FederationRequestError } from '../federation-errors.ts'

const PROFILE_TIMEOUT_MS = 10_000
const ROOMS_TIMEOUT_MS = 20_000

/** A page of another server's room directory, as the client asks for it. Spec: list_public_rooms.yaml. */
export interface RemoteRoomsQuery {
  readonly limit: number
  readonly since: string | undefined
  readonly filter: JsonObject | undefined
  readonly includesAllNetworks: boolean | undefined
  readonly thirdPartyInstanceId: string | undefined
}

/** Reads at other servers what only they know, for a client that waits. */
export class RemoteReads {
  readonly #requests: FederationRequester

  constructor(deps: { requests: FederationRequester }) {
    this.#requests = deps.requests
  }

  /**
   * A user's profile, or one field of it, as its server tells it. Throws M_NOT_FOUND, M_FORBIDDEN, 502 M_UNKNOWN.
   * Spec: server-server-api query.yaml, queryProfile.
   */
  async getProfile(userId: UserId, field: string | undefined): Promise<JsonObject> {
    const query = new URLSearchParams({ user_id: userId, ...(field === undefined ? {} : { field }) })
    return this.#ask('the profile', {
      destination: serverNameOf(userId) as ServerName,
      method: 'GET',
      path: `/_matrix/federation/v1/query/profile?${query.toString()}`,
      timeoutMs: PROFILE_TIMEOUT_MS,
      retries: 'none',
    })
  }

  /** A page of a server's room directory. Throws as `getProfile` does. Spec: server-server-api public_rooms.yaml. */
  async listPublicRooms(destination: ServerName, query: RemoteRoomsQuery): Promise<JsonObject> {
    const { limit, since, filter, includesAllNetworks, thirdPartyInstanceId } = query
    const page = {
      limit,
      ...(since === undefined ? {} : { since }),
      ...(includesAllNetworks === undefined ? {} : { include_all_networks: includesAllNetworks }),
      ...(thirdPartyInstanceId === undefined ? {} : { third_party_instance_id: thirdPartyInstanceId }),
    }
    const path = '/_matrix/federation/v1/publicRooms'
    const common = { destination, timeoutMs: ROOMS_TIMEOUT_MS, retries: 'none' } as const
    const texts = Object.fromEntries(Object.entries(page).map(([name, value]) => [name, String(value)]))
    const answer = await this.#ask(
      'the list of rooms',
      filter === undefined
        ? { ...common, method: 'GET', path: `${path}?${new URLSearchParams(texts).toString()}` }
        : { ...common, method: 'POST', path, body: { ...page, filter } },
    )
    if (!Array.isArray(answer['chunk'])) throw badGateway('the list of rooms')
    return answer
  }

  async #ask(what: string, request: FederationRequest): Promise<JsonObject> {
    try {
      const answer = await this.#requests.request(request)
      if (isJsonObject(answer)) return answer
    } catch (cause) {
      if (!(cause instanceof FederationRequestError)) throw cause
      if (cause.status === 404) throw new MatrixError('M_NOT_FOUND', `There is not ${what}`, { cause })
      if (cause.status === 403 || cause.errcode === 'M_FORBIDDEN')
        throw new MatrixError('M_FORBIDDEN', `We may not see ${what}`, { cause })
      throw badGateway(what, cause)
    }
    throw badGateway(what)
  }
}

function badGateway(what: string, cause?: unknown): MatrixError {
  return new MatrixError('M_UNKNOWN', `The server could not be asked for ${what}`, { status: 502, ...(cause ? { cause } : {}) })
}
