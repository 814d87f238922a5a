import { MatrixError } from '../../protocol/errors.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { RoomAlias, RoomId, ServerName, UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import {
  deleteRoomAlias,
  getAliasesOfRoom,
  getRoomAlias,
  insertRoomAlias,
  lockRoomAlias,
  moveRoomAliases,
} from '../../storage/tables/room-aliases.ts'
import type { Clock } from '../../util/clock.ts'
import type { Requester } from '../accounts/requester.ts'
import type { EventsWriter } from '../events/event-intent.ts'
import type { DirectoryRules } from './directory-rules.ts'
import type { Memberships } from './memberships.ts'
import type { RoomAccess } from './reading/room-access.ts'
import type { RoomSlots } from './reading/room-slots.ts'

const CANONICAL_ALIAS = 'm.room.canonical_alias'

export interface RoomAliasesDeps {
  readonly database: Database
  readonly clock: Clock
  readonly serverName: ServerName
  readonly memberships: Memberships
  readonly slots: RoomSlots
  readonly access: RoomAccess
  readonly writer: EventsWriter
  readonly rules: DirectoryRules
  /** Knows which aliases belong to application services. Throws M_EXCLUSIVE. */
  readonly reserved: { assertMayUseAlias(alias: string, appserviceId: string | undefined): void }
  /** Option require_membership_for_aliases. */
  readonly requiresMembership: boolean
  /** Tells that the room's canonical alias could not be updated, which does not fail the request. */
  readonly onError: (error: unknown) => void
}

/** Names for rooms. Spec: client-server-api § Room aliases. */
export class RoomAliases {
  readonly #deps: RoomAliasesDeps
  #makesAlias: ((alias: string) => Promise<boolean>) | undefined

  constructor(deps: RoomAliasesDeps) {
    this.#deps = deps
  }

  /** Says who is asked for aliases that are not known: application services, which may make them. */
  setMaker(makesAlias: (alias: string) => Promise<boolean>): void {
    this.#makesAlias = makesAlias
  }

  /** The room that an alias of ours names; undefined where it names none. */
  async getRoomId(alias: RoomAlias): Promise<RoomId | undefined> {
    const known = await getRoomAlias(this.#deps.database, alias)
    if (known || serverNameOf(alias) !== this.#deps.serverName || !(await this.#makesAlias?.(alias))) return known?.roomId
    return (await getRoomAlias(this.#deps.database, alias))?.roomId
  }

  /** Our aliases of a room, oldest first. */
  getOfRoom(roomId: RoomId): Promise<RoomAlias[]> {
    return getAliasesOfRoom(this.#deps.database, roomId)
  }

  /** Our aliases of a room, for its members, and for anybody where it is world-readable. Throws M_FORBIDDEN. */
  async getOfRoomFor(requester: Requester, roomId: RoomId): Promise<RoomAlias[]> {
    await this.#deps.access.getReading(requester.userId, roomId)
    return this.getOfRoom(roomId)
  }

  /**
   * Checks what is known before the room exists: that the alias is ours to give, free, and allowed by `alias_creation_rules`.
   * Throws M_INVALID_PARAM, M_FORBIDDEN, M_ROOM_IN_USE.
   */
  async assertMayCreate(request: {
    readonly alias: RoomAlias
    readonly userId: UserId
    readonly roomId?: RoomId
    readonly appserviceId?: string | undefined
  }): Promise<void> {
    const { alias, userId, roomId, appserviceId } = request
    if (serverNameOf(alias) !== this.#deps.serverName)
      throw new MatrixError('M_INVALID_PARAM', 'The alias belongs to another server')
    if (/\s/.test(alias)) throw new MatrixError('M_INVALID_PARAM', 'The alias holds white space')
    this.#deps.reserved.assertMayUseAlias(alias, appserviceId)
    if (!this.#deps.rules.isAllowed({ userId, roomId: roomId ?? '', aliases: [alias] })) {
      throw new MatrixError('M_FORBIDDEN', 'You may not create this alias')
    }
    if (await getRoomAlias(this.#deps.database, alias)) throw taken(alias)
  }

  /** Does `work` while no other process of ours does any for the same alias. Several callers in one process need no lock of this kind. */
  whileLocked<T>(alias: RoomAlias, work: () => Promise<T>): Promise<T> {
    return this.#deps.database.transaction('while_alias_locked', async (tx) => {
      await lockRoomAlias(tx, alias)
      return work()
    })
  }

  /** Stores an alias without asking who may. Throws M_ROOM_IN_USE where it is taken. */
  async create(request: { readonly alias: RoomAlias; readonly roomId: RoomId; readonly creator: UserId }): Promise<void> {
    const isStored = await insertRoomAlias(this.#deps.database, { ...request, createdTsMs: this.#deps.clock.nowMs() })
    if (!isStored) throw taken(request.alias)
  }

  /** Lets all aliases of a room name another one, as an upgrade wants. Returns them. */
  move(move: { readonly from: RoomId; readonly to: RoomId }): Promise<RoomAlias[]> {
    return moveRoomAliases(this.#deps.database, move)
  }

  /** Gives a room an alias on a user's wish. Throws M_FORBIDDEN, M_INVALID_PARAM, 409 M_UNKNOWN where it is taken. */
  async createFor(requester: Requester, request: { readonly alias: RoomAlias; readonly roomId: RoomId }): Promise<void> {
    const { alias, roomId } = request
    const { userId, isAdmin } = requester
    if (this.#deps.requiresMembership && !isAdmin && !(await this.#deps.memberships.isJoined(userId, roomId))) {
      throw new MatrixError('M_FORBIDDEN', 'You must be in the room to give it an alias')
    }
    try {
      await this.assertMayCreate({ alias, userId, roomId, appserviceId: requester.appserviceId })
      await this.create({ alias, roomId, creator: userId })
    } catch (error) {
      // The specification has another error here than at room creation.
      if (error instanceof MatrixError && error.errcode === 'M_ROOM_IN_USE')
        throw new MatrixError('M_UNKNOWN', error.message, { status: 409 })
      throw error
    }
  }

  /**
   * Removes an alias: its creator may, who may change the room's canonical alias, and server administrators.
   * The canonical alias forgets it where the user may send that. Throws M_NOT_FOUND, M_FORBIDDEN.
   */
  async deleteFor(requester: Requester, alias: RoomAlias): Promise<void> {
    const row = await getRoomAlias(this.#deps.database, alias)
    if (!row) throw new MatrixError('M_NOT_FOUND', `Room alias ${alias} not found`)
    if (!requester.isAdmin) this.#deps.reserved.assertMayUseAlias(alias, requester.appserviceId)
    const { userId } = requester
    const mayChangeCanonical = await this.#deps.slots.canSendState(row.roomId, userId, CANONICAL_ALIAS)
    const isMember = await this.#deps.memberships.isJoined(userId, row.roomId)
    if (row.creator !== userId && !requester.isAdmin && !(isMember && mayChangeCanonical)) {
      throw new MatrixError('M_FORBIDDEN', 'You may not remove this alias')
    }
    if (!(await deleteRoomAlias(this.#deps.database, alias)))
      throw new MatrixError('M_NOT_FOUND', `Room alias ${alias} not found`)
    if (!isMember || !mayChangeCanonical) return
    try {
      await this.#forgetCanonical(userId, row.roomId, alias)
    } catch (error) {
      // The alias is gone; what the room says of itself is a courtesy. Spec: directory.yaml, deleteRoomAlias.
      if (!(error instanceof MatrixError)) this.#deps.onError(error)
    }
  }

  async #forgetCanonical(userId: UserId, roomId: RoomId, alias: RoomAlias): Promise<void> {
    const lookup = await this.#deps.slots.get(roomId, [{ type: CANONICAL_ALIAS, stateKey: '' }])
    const content = lookup(CANONICAL_ALIAS, '')?.content
    const changed = content && withoutAlias(content, alias)
    if (!changed) return
    await this.#deps.writer.append({
      roomId,
      intents: [{ type: CANONICAL_ALIAS, sender: userId, stateKey: '', content: changed }],
    })
  }
}

/** Takes an alias out of the content of `m.room.canonical_alias`; undefined where it does not stand there. */
function withoutAlias(content: JsonObject, alias: RoomAlias): JsonObject | undefined {
  const { alias: main, alt_aliases: others, ...rest } = content
  const kept = Array.isArray(others) ? others.filter((other) => other !== alias) : undefined
  if (main !== alias && (kept === undefined || !Array.isArray(others) || kept.length === others.length)) return undefined
  return {
    ...rest,
    ...(main === alias || main === undefined ? {} : { alias: main }),
    ...(kept === undefined || kept.length === 0 ? {} : { alt_aliases: kept }),
  }
}

function taken(alias: RoomAlias): MatrixError {
  return new MatrixError('M_ROOM_IN_USE', `Room alias ${alias} already exists`)
}
