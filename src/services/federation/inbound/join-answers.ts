import { MatrixError } from '../../../protocol/errors.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../../protocol/ids.ts'
import type { Database } from '../../../storage/database.ts'
import {
  getAuthChain,
  getPdusByNid,
  getStateIdsBefore,
  getStateIdsWithoutMembers,
} from '../../../storage/tables/federation-reads.ts'
import type { StateEventRecord } from '../../../storage/tables/federation-reads.ts'
import { assert } from '../../../util/assert.ts'
import type { EventReader } from '../../events/event-reader.ts'
import type { Memberships } from '../../rooms/memberships.ts'
import type { RoomSlots } from '../../rooms/reading/room-slots.ts'
import { pduText } from '../pdu-text.ts'
import type { RoomServers } from '../room-servers.ts'

/** Events of one answer. Larger rooms are refused with M_TOO_LARGE. */
const STATE_EVENTS_MAX = 200_000
const PDUS_PER_QUERY = 2000
/** Members by whom a room without a name is called. Spec: client-server-api § GET /sync, `m.heroes`. */
const HEROES_MAX = 5

/** Whose join is answered, and how. */
export interface JoinToAnswer {
  readonly roomId: RoomId
  readonly eventId: EventId
  readonly userId: UserId
  /** The join as it is stored. */
  readonly json: string
  /** The other server does without most members for now. */
  readonly omitsMembers: boolean
  /** Servers that were in the room before. */
  readonly servers: readonly ServerName[]
}

/** Writes what a joining server gets to know of the room. Spec: server-server-api joins-v2.yaml, sendJoinV2. */
export class JoinAnswers {
  readonly #database: Database
  readonly #events: EventReader
  readonly #memberships: Pick<Memberships, 'getOfRoom'>
  readonly #slots: RoomSlots
  readonly #roomServers: RoomServers
  readonly #serverName: ServerName

  constructor(deps: {
    database: Database
    events: EventReader
    memberships: Pick<Memberships, 'getOfRoom'>
    slots: RoomSlots
    roomServers: RoomServers
    serverName: ServerName
  }) {
    this.#database = deps.database
    this.#events = deps.events
    this.#memberships = deps.memberships
    this.#slots = deps.slots
    this.#roomServers = deps.roomServers
    this.#serverName = deps.serverName
  }

  /** The servers that are in the room now. */
  getServers(roomId: RoomId): Promise<ServerName[]> {
    return this.#roomServers.getServers(roomId)
  }

  /** Returns the answer as JSON text: the state before the join, and the auth chains. Throws M_TOO_LARGE. */
  async write(join: JoinToAnswer): Promise<string> {
    const stored = await this.#events.getEvent(join.eventId)
    assert(stored, 'a join is answered after it was stored')
    const { eventNid } = stored
    const limit = STATE_EVENTS_MAX + 1
    const state = join.omitsMembers
      ? await getStateIdsWithoutMembers(this.#database, { eventNid, limit, members: await this.#findHeroes(join) })
      : await getStateIdsBefore(this.#database, { eventNid, limit })
    const authIds = [...(await this.#events.getEvents(stored.event.authEventIds)).values()].map((one) => one.eventNid)
    const eventNids = [...new Set([...state.map((record) => record.eventNid), eventNid])]
    const chain = await getAuthChain(this.#database, { eventNids: [...new Set([...eventNids, ...authIds])], limit })
    if (state.length > STATE_EVENTS_MAX || chain.length > STATE_EVENTS_MAX)
      throw new MatrixError('M_TOO_LARGE', 'The room is too large to be joined over federation')
    const inState = new Set(state.map((record) => record.eventNid))
    const authChain = join.omitsMembers ? chain.filter((record) => !inState.has(record.eventNid)) : chain
    const texts = await this.#readTexts([...state, ...authChain])
    const pick = (records: readonly StateEventRecord[]): string =>
      records.flatMap((record) => texts.get(record.eventNid) ?? []).join(',')
    const servers = join.omitsMembers ? `,"servers_in_room":${JSON.stringify(join.servers)}` : ''
    return (
      `{"origin":${JSON.stringify(this.#serverName)},"members_omitted":${join.omitsMembers}${servers},"event":${join.json},` +
      `"state":[${pick(state)}],"auth_chain":[${pick(authChain)}]}`
    )
  }

  /** By whom the room is called, where it has no name: the joining server must be able to show it. */
  async #findHeroes({ roomId, userId }: JoinToAnswer): Promise<string[]> {
    const types = ['m.room.name', 'm.room.canonical_alias']
    const lookup = await this.#slots.get(
      roomId,
      types.map((type) => ({ type, stateKey: '' })),
    )
    if (types.some((type) => lookup(type, '') !== undefined)) return [userId]
    const heroes: string[] = []
    for (const [member, membership] of await this.#memberships.getOfRoom(roomId)) {
      if (member !== userId && (membership === 'join' || membership === 'invite')) heroes.push(member)
      if (heroes.length === HEROES_MAX) break
    }
    return [...heroes, userId]
  }

  async #readTexts(records: readonly StateEventRecord[]): Promise<Map<number, string>> {
    const eventNids = [...new Set(records.map((record) => record.eventNid))]
    const texts = new Map<number, string>()
    for (let start = 0; start < eventNids.length; start += PDUS_PER_QUERY) {
      const pdus = await getPdusByNid(this.#database, eventNids.slice(start, start + PDUS_PER_QUERY))
      for (const pdu of pdus) texts.set(pdu.eventNid, pduText(pdu))
    }
    return texts
  }
}
