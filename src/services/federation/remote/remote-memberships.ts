import { serverNameOf } from '../../../protocol/ids.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../../protocol/ids.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import type { Memberships } from '../../rooms/memberships.ts'
import type { CandidateServers } from './candidate-servers.ts'
import type { OutsideMemberships } from './outside-memberships.ts'
import type { RemoteInvite, RemoteInvites } from './remote-invites.ts'
import type { RemoteJoins } from './remote-joins.ts'

/** Somebody of ours who wants into a room, or out of it. */
export interface RemoteEntry {
  readonly roomId: RoomId
  readonly userId: UserId
  /** Servers that the client named. */
  readonly via: readonly string[]
  readonly content: JsonObject
}

/** What changes of memberships need other servers for. */
export class RemoteMemberships {
  readonly #candidates: CandidateServers
  readonly #joins: RemoteJoins
  readonly #outside: OutsideMemberships
  readonly #invites: RemoteInvites
  readonly #memberships: Memberships
  readonly #serverName: ServerName

  constructor(deps: {
    candidates: CandidateServers
    joins: RemoteJoins
    outside: OutsideMemberships
    invites: RemoteInvites
    memberships: Memberships
    serverName: ServerName
  }) {
    this.#candidates = deps.candidates
    this.#joins = deps.joins
    this.#outside = deps.outside
    this.#invites = deps.invites
    this.#memberships = deps.memberships
    this.#serverName = deps.serverName
  }

  /** Tells whether the room can be written to from here: one of our users is joined to it. */
  async isHere(roomId: RoomId): Promise<boolean> {
    for (const [userId, membership] of await this.#memberships.getOfRoom(roomId))
      if (membership === 'join' && this.isOurs(userId)) return true
    return false
  }

  isOurs(userId: UserId): boolean {
    return serverNameOf(userId) === this.#serverName
  }

  /** Who may be asked to let the user in; empty where nobody is known. */
  serversFor(entry: RemoteEntry): Promise<ServerName[]> {
    return this.#candidates.forEntering(entry)
  }

  /**
   * Joins by way of one of the servers; undefined where somebody else of ours was just about to, which was waited for. Throws what the
   * servers refuse it with, 502 M_UNKNOWN.
   */
  join(entry: RemoteEntry, servers: readonly ServerName[]): Promise<EventId | undefined> {
    return this.#joins.join({ ...entry, servers })
  }

  /** Knocks by way of one of the servers. */
  knock(entry: RemoteEntry, servers: readonly ServerName[]): Promise<EventId> {
    return this.#outside.knock({ ...entry, servers })
  }

  /** Rejects an invite, or takes a knock back. `formerEventId` is the event of the invite or knock. */
  async leave(change: {
    readonly roomId: RoomId
    readonly userId: UserId
    readonly content: JsonObject
    readonly formerEventId: EventId
  }): Promise<EventId> {
    return this.#outside.leave({ ...change, servers: await this.#candidates.forLeaving(change.roomId, change.userId) })
  }

  /** Invites a user of another server. */
  invite(invite: RemoteInvite): Promise<EventId> {
    return this.#invites.invite(invite)
  }
}
