import { isJsonObject } from '../../../protocol/json.ts'
import { parseServerName, serverNameOf } from '../../../protocol/ids.ts'
import type { RoomId, ServerName, UserId } from '../../../protocol/ids.ts'
import type { Database } from '../../../storage/database.ts'
import { getOutsideRoomStates } from '../../../storage/tables/outside-rooms.ts'
import { MatrixError } from '../../../protocol/errors.ts'
import type { Memberships } from '../../rooms/memberships.ts'
import type { RoomServers } from '../room-servers.ts'

/** Of more given servers the rest is not looked at. */
const GIVEN_MAX = 20

/** Finds servers that may know a room which we are not in. */
export class CandidateServers {
  readonly #database: Database
  readonly #memberships: Memberships
  readonly #roomServers: Pick<RoomServers, 'getServers'>
  readonly #serverName: ServerName

  constructor(deps: {
    database: Database
    memberships: Memberships
    roomServers: Pick<RoomServers, 'getServers'>
    serverName: ServerName
  }) {
    this.#database = deps.database
    this.#memberships = deps.memberships
    this.#roomServers = deps.roomServers
    this.#serverName = deps.serverName
  }

  /** For who wants in: those that were named, the inviter's, and those that were in the room when we were. */
  async forEntering(request: {
    readonly roomId: RoomId
    readonly userId: UserId
    readonly via: readonly string[]
  }): Promise<ServerName[]> {
    const { roomId, userId } = request
    return this.#others([
      ...request.via.slice(0, GIVEN_MAX),
      await this.#inviterOf(roomId, userId),
      ...(await this.#roomServers.getServers(roomId)),
    ])
  }

  /** For who rejects an invite or takes a knock back: whoever invited them, and whom their view of the room names. */
  async forLeaving(roomId: RoomId, userId: UserId): Promise<ServerName[]> {
    const [shown] = await getOutsideRoomStates(this.#database, { userId, roomIds: [roomId] })
    const state: unknown = shown === undefined ? [] : JSON.parse(shown.stateJson)
    const senders = (Array.isArray(state) ? state : []).flatMap((event: unknown) => {
      const sender = isJsonObject(event) ? event['sender'] : undefined
      return typeof sender === 'string' ? [serverNameOf(sender)] : []
    })
    return this.#others([
      await this.#inviterOf(roomId, userId),
      serverNameOf(roomId),
      ...senders,
      ...(await this.#roomServers.getServers(roomId)),
    ])
  }

  async #inviterOf(roomId: RoomId, userId: UserId): Promise<string | undefined> {
    const place = (await this.#memberships.getOfUser(userId)).get(roomId)
    return place?.membership === 'invite' ? serverNameOf(place.sender) : undefined
  }

  #others(names: readonly (string | undefined)[]): ServerName[] {
    const found = new Set<ServerName>()
    for (const name of names) {
      const server = name === undefined ? undefined : readServerName(name)
      if (server !== undefined && server !== this.#serverName) found.add(server)
    }
    return [...found]
  }
}

/** The server's name, or undefined where it is none: names come from clients, and from other servers. */
export function readServerName(name: string): ServerName | undefined {
  try {
    return parseServerName(name)
  } catch (error) {
    if (error instanceof MatrixError) return undefined
    throw error
  }
}
