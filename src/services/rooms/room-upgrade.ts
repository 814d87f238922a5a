import type { AuthStateLookup } from '../../protocol/auth-rules/auth-result.ts'
import {
  canSendEvent,
  getPowerLevelsOf,
  namedPowerLevel,
  roomCreators,
  userPowerLevel,
} from '../../protocol/auth-rules/power-levels.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { stateSlotKey } from '../../protocol/events/event.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { EventId, RoomId, UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import type { RoomVersion } from '../../protocol/room-versions/room-version.ts'
import type { Database } from '../../storage/database.ts'
import { getEventsByNid } from '../../storage/tables/events.ts'
import { getRoomStateAsOf } from '../../storage/tables/room-reads.ts'
import { getRoomHead } from '../../storage/tables/room-state.ts'
import { getMemberEvents } from '../../storage/tables/sync-state.ts'
import { assert } from '../../util/assert.ts'
import type { Requester } from '../accounts/requester.ts'
import type { EventIntent, EventsWriter } from '../events/event-intent.ts'
import { stateRecordToEvent } from '../events/state-records.ts'
import type { NameAndAvatar } from '../user-data/profiles.ts'
import type { RoomAliases } from './aliases.ts'
import type { RoomDirectory } from './directory.ts'
import type { Memberships } from './memberships.ts'
import { NOW } from './reading/room-slots.ts'
import { createContent, createRoom, parseCreators } from './room-creation.ts'
import type { RoomCreation } from './room-creation.ts'
import { closedPowerLevels, copiedState, upgradedCreationContent, upgradedPowerLevels } from './room-upgrade-state.ts'
import type { RoomSettingsTransfer } from './settings-transfer.ts'

const BANS_MAX = 10_000

export interface RoomUpgradeDeps {
  readonly database: Database
  readonly writer: EventsWriter
  readonly creation: RoomCreation
  readonly memberships: Memberships
  readonly aliases: RoomAliases
  readonly directory: RoomDirectory
  readonly profiles: { getNameAndAvatar(userId: UserId): Promise<NameAndAvatar> }
  readonly settings: RoomSettingsTransfer
}

/** The old room as an upgrade finds it. */
interface OldRoom {
  readonly roomId: RoomId
  readonly version: RoomVersion
  readonly create: MatrixEvent
  readonly state: readonly MatrixEvent[]
  readonly lookup: AuthStateLookup
  readonly lastEventId: EventId | undefined
}

interface UpgradeRequest {
  readonly roomId: RoomId
  readonly version: string
  readonly additionalCreators: readonly string[] | undefined
}

/** Replaces a room by one of another version. Spec: client-server-api § Room upgrades. */
export class RoomUpgrade {
  readonly #deps: RoomUpgradeDeps
  /** A client that repeats its request gets the same room. */
  readonly #running = new Map<RoomId, { readonly key: string; readonly done: Promise<RoomId> }>()

  constructor(deps: RoomUpgradeDeps) {
    this.#deps = deps
  }

  /** Returns the new room's id. Throws M_UNSUPPORTED_ROOM_VERSION, M_FORBIDDEN, M_NOT_FOUND, M_LIMIT_EXCEEDED. */
  async upgrade(requester: Requester, request: UpgradeRequest): Promise<RoomId> {
    const key = `${requester.userId} ${request.version}`
    const running = this.#running.get(request.roomId)
    if (running?.key === key) return running.done
    if (running) throw new MatrixError('M_FORBIDDEN', 'The room is being upgraded already')
    const done = this.#upgrade(requester, request).finally(() => this.#running.delete(request.roomId))
    this.#running.set(request.roomId, { key, done })
    return done
  }

  async #upgrade(requester: Requester, request: UpgradeRequest): Promise<RoomId> {
    const { userId } = requester
    const { roomId } = request
    const version = getRoomVersion(request.version)
    if (!version) throw new MatrixError('M_UNSUPPORTED_ROOM_VERSION', 'Your homeserver does not support this room version')
    if (requester.isSuspended)
      throw new MatrixError('M_USER_SUSPENDED', 'Upgrading rooms while account is suspended is not allowed.')
    const additionalCreators = version.privilegedCreators ? parseCreators(request.additionalCreators) : []
    const old = await this.#loadOldRoom(roomId)
    const levels = getPowerLevelsOf(old.version, old.lookup)
    const isMember = await this.#deps.memberships.isJoined(userId, roomId)
    if (!isMember || !canSendEvent(levels, userId, { type: 'm.room.tombstone', isState: true })) {
      throw new MatrixError('M_FORBIDDEN', 'You cannot upgrade this room')
    }
    await this.#deps.creation.limit(requester)
    const newRoomId = await createRoom(
      this.#deps.writer,
      version,
      await this.#founding(requester, old, { version, additionalCreators }),
    )
    await this.#close(requester, old, newRoomId)
    await this.#moveNames(requester, old, newRoomId)
    const users = await this.#deps.memberships.getJoinedUsers(roomId)
    await this.#deps.settings.transfer(users, { from: roomId, to: newRoomId })
    return newRoomId
  }

  async #loadOldRoom(roomId: RoomId): Promise<OldRoom> {
    const { database } = this.#deps
    const head = await getRoomHead(database, roomId)
    if (!head) throw new MatrixError('M_NOT_FOUND', 'Unknown room')
    const [records, heads] = await Promise.all([
      getRoomStateAsOf(database, { roomId, position: NOW, members: [] }),
      getEventsByNid(database, head.extremities.slice(0, 1)),
    ])
    const state = records.map(stateRecordToEvent)
    const slots = new Map(state.map((event) => [stateSlotKey(event.type, event.stateKey ?? ''), event]))
    const create = slots.get(stateSlotKey('m.room.create', ''))
    const version = getRoomVersion(head.roomVersion)
    assert(create && version, 'a room has a create event and a version that we know')
    return {
      roomId,
      version,
      create,
      state,
      lookup: (type, stateKey) => slots.get(stateSlotKey(type, stateKey)),
      lastEventId: heads[0]?.eventId,
    }
  }

  /** All first events of the new room, bans included. */
  async #founding(
    requester: Requester,
    old: OldRoom,
    upgrade: { readonly version: RoomVersion; readonly additionalCreators: readonly UserId[] },
  ): Promise<EventIntent[]> {
    const sender = requester.userId
    const { version, additionalCreators } = upgrade
    const wished = upgradedCreationContent(old.create, {
      version,
      roomId: old.roomId,
      lastEventId: old.lastEventId,
      additionalCreators,
    })
    const levels = upgradedPowerLevels(
      { version: old.version, content: old.lookup('m.room.power_levels', '')?.content ?? {} },
      { version, userId: sender, creators: [sender, ...additionalCreators], oldCreators: roomCreators(old.version, old.create) },
    )
    const state = (type: string, stateKey: string, content: JsonObject): EventIntent => ({ type, stateKey, sender, content })
    return [
      state('m.room.create', '', createContent(version, sender, wished, [])),
      state('m.room.member', sender, { ...(await this.#deps.profiles.getNameAndAvatar(sender)), membership: 'join' }),
      state('m.room.power_levels', '', levels.whileCopying),
      ...copiedState(old.create, old.state).map((event) => state(event.type, event.stateKey ?? '', event.content)),
      ...(await this.#bans(old, sender, version)).map((ban) => state('m.room.member', ban.stateKey ?? '', ban.content)),
      ...(levels.lasting === levels.whileCopying ? [] : [state('m.room.power_levels', '', levels.lasting)]),
    ]
  }

  /** The bans that the upgrading user may set again. */
  async #bans(old: OldRoom, sender: UserId, version: RoomVersion): Promise<MatrixEvent[]> {
    const banned: UserId[] = []
    for (const [userId, membership] of await this.#deps.memberships.getOfRoom(old.roomId))
      if (membership === 'ban') banned.push(userId)
    const records = await getMemberEvents(
      this.#deps.database,
      banned.slice(0, BANS_MAX).map((userId) => ({ roomId: old.roomId, userId })),
    )
    const levels = getPowerLevelsOf(old.version, old.lookup)
    const own = version.privilegedCreators
      ? Number.POSITIVE_INFINITY
      : Math.max(userPowerLevel(levels, sender), namedPowerLevel(levels, 'ban'))
    return records.map(stateRecordToEvent).filter((event) => userPowerLevel(levels, event.stateKey ?? '') < own)
  }

  /** Sends the tombstone, and lets only moderators speak in the old room. */
  async #close(requester: Requester, old: OldRoom, newRoomId: RoomId): Promise<void> {
    const { roomId } = old
    const sender = requester.userId
    const content = { body: 'This room has been replaced', replacement_room: newRoomId }
    await this.#deps.writer.append({ roomId, intents: [{ type: 'm.room.tombstone', sender, stateKey: '', content }] })
    const closed = closedPowerLevels(old.version, old.lookup('m.room.power_levels', '')?.content ?? {})
    if (closed) await this.#tryAppend(roomId, { type: 'm.room.power_levels', sender, stateKey: '', content: closed })
  }

  /** Moves aliases and the entry in the directory. */
  async #moveNames(requester: Requester, old: OldRoom, newRoomId: RoomId): Promise<void> {
    const { aliases, directory } = this.#deps
    const { roomId } = old
    const sender = requester.userId
    await aliases.move({ from: roomId, to: newRoomId })
    const canonical = old.lookup('m.room.canonical_alias', '')?.content
    if (canonical && Object.keys(canonical).length > 0) {
      await this.#tryAppend(roomId, { type: 'm.room.canonical_alias', sender, stateKey: '', content: {} })
      await this.#tryAppend(newRoomId, { type: 'm.room.canonical_alias', sender, stateKey: '', content: canonical })
    }
    if (await directory.isPublic(roomId)) {
      await directory.setVisibility({ roomId: newRoomId, isPublic: true, userId: sender })
      await directory.setVisibility({ roomId, isPublic: false, userId: sender })
    }
  }

  /** The upgrade is done: a courtesy that the user's power does not suffice for is left out. Spec: § Room upgrades, step 6. */
  async #tryAppend(roomId: RoomId, intent: EventIntent): Promise<void> {
    try {
      await this.#deps.writer.append({ roomId, intents: [intent] })
    } catch (error) {
      if (!(error instanceof MatrixError) || error.errcode !== 'M_FORBIDDEN') throw error
    }
  }
}
