import { parseRoomId, serverNameOf } from '../../../protocol/ids.ts'
import type { RoomAlias, RoomId, ServerName } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import { MatrixError } from '../../../protocol/errors.ts'
import type { FederationClient } from '../federation-client.ts'
import { readServerName } from './candidate-servers.ts'
import { BadAnswerError, tryServers } from './try-servers.ts'

const TIMEOUT_MS = 20_000
const SERVERS_MAX = 50

/** What an alias of another server names, and who is in that room. */
export interface FoundAlias {
  readonly roomId: RoomId
  readonly servers: readonly ServerName[]
}

/** Looks up aliases of other servers. Spec: server-server-api § Querying for information, query/directory. */
export class RemoteAliases {
  readonly #client: FederationClient
  readonly #serverName: ServerName

  constructor(deps: { client: FederationClient; serverName: ServerName }) {
    this.#client = deps.client
    this.#serverName = deps.serverName
  }

  /** Asks the alias' server. Returns undefined for aliases of ours. Throws M_NOT_FOUND, 502 M_UNKNOWN where it cannot be reached. */
  async find(alias: RoomAlias): Promise<FoundAlias | undefined> {
    const server = serverNameOf(alias)
    if (server === undefined || server === this.#serverName) return undefined
    return tryServers([server], { what: 'find the alias', failover: [] }, async () => {
      const answer = await this.#client.request({
        destination: server,
        method: 'GET',
        path: `/_matrix/federation/v1/query/directory?room_alias=${encodeURIComponent(alias)}`,
        timeoutMs: TIMEOUT_MS,
        retries: 'none',
        isBackoffIgnored: true,
      })
      return readAnswer(server, answer)
    })
  }
}

function readAnswer(server: ServerName, answer: unknown): FoundAlias {
  const { room_id: roomId, servers } = isJsonObject(answer) ? answer : {}
  if (typeof roomId !== 'string' || !Array.isArray(servers)) throw new BadAnswerError(server, 'answered no room')
  const names = (servers as readonly unknown[]).slice(0, SERVERS_MAX).flatMap((name) => {
    const parsed = typeof name === 'string' ? readServerName(name) : undefined
    return parsed ?? []
  })
  try {
    // Who knows the alias may well be in the room.
    return { roomId: parseRoomId(roomId), servers: [...new Set([...names, server])] }
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error
    throw new BadAnswerError(server, 'answered with what is no room id', { cause: error })
  }
}
