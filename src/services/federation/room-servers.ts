import { LRUCache } from 'lru-cache'
import { MatrixError } from '../../protocol/errors.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { RoomId, ServerName } from '../../protocol/ids.ts'
import { compileServerAcl } from '../../protocol/server-acl.ts'
import type { ServerAcl } from '../../protocol/server-acl.ts'
import { stateChangesOf } from '../../streams/event-rows.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { Memberships } from '../rooms/memberships.ts'
import type { RoomSlots } from '../rooms/reading/room-slots.ts'

const SERVER_ACL = 'm.room.server_acl'
const ACLS_MAX = 10_000

/** Answers which servers are in a room, and which ones its server ACL keeps out. */
export class RoomServers {
  readonly #memberships: Memberships
  readonly #slots: RoomSlots
  /** Compiled ACLs by room; undefined inside for rooms without one. */
  readonly #acls = new LRUCache<RoomId, Promise<ServerAcl | undefined>>({ max: ACLS_MAX })

  constructor(deps: { hub: StreamHub; memberships: Memberships; slots: RoomSlots }) {
    this.#memberships = deps.memberships
    this.#slots = deps.slots
    deps.hub.onRow('events', (row) => {
      // A redaction may have taken the ACL; which event it took is not worth asking.
      if (row.redacts !== undefined || stateChangesOf(row).some(({ type }) => type === SERVER_ACL))
        this.#acls.delete(row.roomId as RoomId)
    })
    deps.hub.onReset('events', () => this.#acls.clear())
    deps.hub.onPurge(({ roomId }) => void this.#acls.delete(roomId as RoomId))
  }

  /** Throws M_FORBIDDEN where the room's ACL denies the server. Spec: server-server-api § Server Access Control Lists (ACLs). */
  async assertAllowedByAcl(serverName: ServerName, roomId: RoomId): Promise<void> {
    const acl = await this.#getAcl(roomId)
    if (acl && !acl.isServerAllowed(serverName)) throw new MatrixError('M_FORBIDDEN', 'Server is banned from room')
  }

  #getAcl(roomId: RoomId): Promise<ServerAcl | undefined> {
    const cached = this.#acls.get(roomId)
    if (cached) return cached
    const loading = this.#slots.get(roomId, [{ type: SERVER_ACL, stateKey: '' }]).then((lookup) => {
      const event = lookup(SERVER_ACL, '')
      return event && compileServerAcl(event.content)
    })
    // A change while this loads takes the entry out: who comes later loads anew.
    this.#acls.set(roomId, loading)
    loading.catch(() => this.#acls.delete(roomId))
    return loading
  }

  /** Tells whether a user of the server is joined to the room. */
  async isInRoom(serverName: ServerName, roomId: RoomId): Promise<boolean> {
    for (const [userId, membership] of await this.#memberships.getOfRoom(roomId)) {
      if (membership === 'join' && serverNameOf(userId) === serverName) return true
    }
    return false
  }

  /** Tells whether a user of the server is joined to the room, or invited. */
  async isInOrInvited(serverName: ServerName, roomId: RoomId): Promise<boolean> {
    for (const [userId, membership] of await this.#memberships.getOfRoom(roomId)) {
      if ((membership === 'join' || membership === 'invite') && serverNameOf(userId) === serverName) return true
    }
    return false
  }

  /** Throws M_FORBIDDEN unless a user of the server is joined to the room. */
  async assertInRoom(serverName: ServerName, roomId: RoomId): Promise<void> {
    if (!(await this.isInRoom(serverName, roomId))) throw new MatrixError('M_FORBIDDEN', 'Host not in room.')
  }

  /** The servers whose users are joined to the room, in the order in which their first users came. */
  async getServers(roomId: RoomId): Promise<ServerName[]> {
    const servers = new Set<ServerName>()
    for (const [userId, membership] of await this.#memberships.getOfRoom(roomId)) {
      const serverName = membership === 'join' ? serverNameOf(userId) : undefined
      if (serverName !== undefined) servers.add(serverName)
    }
    return [...servers]
  }
}
