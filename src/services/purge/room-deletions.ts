import { MatrixError } from '../../protocol/errors.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { RoomId, ServerName, UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import {
  countUnsentOfRoom,
  deleteRoom,
  deleteRoomDataOfUsers,
  deleteRoomEvents,
  deleteRoomState,
  findReplacementRoom,
  getRoomNid,
} from '../../storage/operations/purge-room.ts'
import { getMembershipsOfRoom, isForgottenByAll } from '../../storage/tables/memberships.ts'
import { getIsRoomKnown } from '../../storage/tables/room-reads.ts'
import type { RoomPurges } from '../../streams/room-purges.ts'
import type { Clock } from '../../util/clock.ts'
import type { Logger } from '../../util/logger.ts'
import { pause } from '../../util/pause.ts'
import { internalRequester } from '../accounts/internal-requester.ts'
import type { EventsWriter } from '../events/event-intent.ts'
import type { RoomAliases } from '../rooms/aliases.ts'
import type { MembershipChanges } from '../rooms/membership-changes.ts'
import type { Memberships } from '../rooms/memberships.ts'
import type { RoomCreation } from '../rooms/room-creation.ts'
import { DELETE_ACTIONS } from './blocked-rooms.ts'
import type { BlockedRooms } from './blocked-rooms.ts'
import type { ScheduledTasks } from './scheduled-tasks.ts'
import type { RunningTask } from './task-runner.ts'

const [SHUTDOWN_AND_PURGE, PURGE_ROOM] = DELETE_ACTIONS
const NAME_DEFAULT = 'Content Violation Notification'
const MESSAGE_DEFAULT = 'Sharing illegal content on this server is not permitted and rooms in violation will be blocked.'
/** What the first event of the new room says, so that a deletion that was interrupted finds it again. */
const MARK = 'org.ganglion.deletion'
const EVENTS_AT_ONCE = 250
const INTERVALS_AT_ONCE = 1000
const USERS_AT_ONCE = 200
const REST_MS = 5
/** How often it is told who was removed already. */
const SAVE_EVERY_USERS = 10
/** The room's other servers are to learn that ours have left, before what says so is gone. */
const UNSENT_WAIT_MS = 10_000
const UNSENT_LOOK_MS = 100

/** What becomes of a room and those in it. As Synapse's docs/admin_api/rooms.md, Delete Room API. */
export interface RoomDeletion {
  readonly roomId: RoomId
  readonly requesterId: UserId
  readonly newRoomUserId: UserId | undefined
  readonly newRoomName: string | undefined
  readonly message: string | undefined
  readonly isBlocked: boolean
  readonly isPurged: boolean
  /** Also with users of ours still in it. */
  readonly isForced: boolean
}

/** What a deletion has done. */
interface Shutdown {
  readonly kicked: string[]
  readonly failed: string[]
  aliases: readonly string[]
  newRoomId: RoomId | undefined
}

interface RoomDeletionsDeps {
  readonly database: Database
  readonly tasks: ScheduledTasks
  readonly blocked: BlockedRooms
  readonly memberships: Memberships
  readonly changes: Pick<MembershipChanges, 'leave' | 'join'>
  readonly creation: Pick<RoomCreation, 'create'>
  readonly writer: EventsWriter
  readonly aliases: Pick<RoomAliases, 'getOfRoom' | 'move'>
  readonly purges: RoomPurges
  readonly clock: Clock
  readonly logger: Logger
  readonly serverName: ServerName
}

/** Takes rooms away: removes our users, moves them to another room if wished, and deletes all trace of the room. */
export class RoomDeletions {
  readonly #deps: RoomDeletionsDeps

  constructor(deps: RoomDeletionsDeps) {
    this.#deps = deps
  }

  /**
   * Begins a deletion and returns its task's id. Throws 400 M_UNKNOWN where one is under way, M_NOT_FOUND for an unknown room,
   * M_INVALID_PARAM for a user who is not ours.
   */
  async begin(deletion: RoomDeletion): Promise<string> {
    const { roomId, newRoomUserId } = deletion
    if (newRoomUserId !== undefined && serverNameOf(newRoomUserId) !== this.#deps.serverName)
      throw new MatrixError('M_UNKNOWN', `User must be our own: ${newRoomUserId}`, { status: 400 })
    if (!(await this.isKnown(roomId))) throw new MatrixError('M_NOT_FOUND', 'Room not found')
    const taskId = await this.#deps.tasks.schedule({
      action: SHUTDOWN_AND_PURGE,
      resourceId: roomId,
      params: {
        requester_user_id: deletion.requesterId,
        new_room_user_id: newRoomUserId ?? null,
        new_room_name: deletion.newRoomName ?? null,
        message: deletion.message ?? null,
        block: deletion.isBlocked,
        purge: deletion.isPurged,
        force_purge: deletion.isForced,
      },
      excludes: [SHUTDOWN_AND_PURGE],
    })
    if (taskId === undefined) throw new MatrixError('M_UNKNOWN', `Purge already in progress for ${roomId}`, { status: 400 })
    return taskId
  }

  isKnown(roomId: RoomId): Promise<boolean> {
    return getIsRoomKnown(this.#deps.database, roomId)
  }

  /** Has a room that all of ours have forgotten deleted after a while, unless somebody comes back to it. */
  async deleteForgotten(roomId: RoomId, afterMs: number): Promise<void> {
    if (!(await isForgottenByAll(this.#deps.database, roomId, this.#deps.serverName))) return
    const atMs = this.#deps.clock.nowMs() + afterMs
    await this.#deps.tasks.schedule({ action: PURGE_ROOM, resourceId: roomId, params: {}, atMs, excludes: DELETE_ACTIONS })
  }

  /** Does the deletion of a forgotten room. */
  async runForgotten(task: RunningTask): Promise<undefined> {
    const roomId = task.resourceId as RoomId
    const hasBegun = task.progress['stage'] !== undefined
    if (!hasBegun && !(await isForgottenByAll(this.#deps.database, roomId, this.#deps.serverName))) return undefined
    await this.#purge(task, { isForced: false, known: undefined })
    return undefined
  }

  /** Does a deletion, from where it stopped. */
  async run(task: RunningTask): Promise<JsonObject> {
    const { params, progress } = task
    const roomId = task.resourceId as RoomId
    const shutdown = readShutdown(progress['shutdown'])
    if (progress['stage'] === undefined) {
      if (params['block'] === true) {
        const userId = textOf(params['requester_user_id']) as UserId
        await this.#deps.blocked.set(roomId, { isBlocked: true, userId })
      }
      await this.#shutdown(task, shutdown)
    }
    if (params['purge'] !== false) await this.#purge(task, { isForced: params['force_purge'] === true, known: shutdown })
    return toJson(shutdown)
  }

  async #shutdown(task: RunningTask, shutdown: Shutdown): Promise<void> {
    const { memberships, changes, aliases, writer, serverName, logger } = this.#deps
    const roomId = task.resourceId as RoomId
    const save = (): Promise<void> => task.save({ shutdown: toJson(shutdown) }, toJson(shutdown))
    const host = textOf(task.params['new_room_user_id']) as UserId | undefined
    if (host !== undefined && shutdown.newRoomId === undefined) {
      shutdown.newRoomId = await this.#makeRoom(task, host)
      await save()
    }
    const done = new Set([...shutdown.kicked, ...shutdown.failed])
    const members = [...(await memberships.getOfRoom(roomId))].filter(
      ([userId, membership]) =>
        serverNameOf(userId) === serverName && ['join', 'invite', 'knock'].includes(membership) && !done.has(userId),
    )
    let unsaved = 0
    for (const [userId] of members) {
      if (task.signal.aborted) return save()
      try {
        await changes.leave(internalRequester(userId), roomId)
        await memberships.forget(userId, roomId)
        if (shutdown.newRoomId !== undefined) await changes.join(internalRequester(userId), shutdown.newRoomId)
        shutdown.kicked.push(userId)
      } catch (error) {
        if (!(error instanceof MatrixError)) throw error
        logger.info('a user could not be removed from a room', { room: roomId, user: userId, error })
        shutdown.failed.push(userId)
      }
      if (++unsaved % SAVE_EVERY_USERS === 0) await save()
    }
    if (shutdown.newRoomId !== undefined && host !== undefined) {
      const body = textOf(task.params['message']) ?? MESSAGE_DEFAULT
      // Told again after an interruption, it would be repeated: the transaction id is the task's.
      const transaction = { device: MARK, id: task.taskId, scope: 'm.room.message' }
      const intent = { type: 'm.room.message', sender: host, content: { msgtype: 'm.text', body }, transaction }
      await writer.append({ roomId: shutdown.newRoomId, intents: [intent] })
      const moved = await aliases.getOfRoom(roomId)
      await aliases.move({ from: roomId, to: shutdown.newRoomId })
      shutdown.aliases = [...new Set([...shutdown.aliases, ...moved])]
    }
    await save()
  }

  /** A room that only its maker may write to. */
  async #makeRoom(task: RunningTask, host: UserId): Promise<RoomId> {
    const mark = JSON.stringify(task.taskId)
    const known = await findReplacementRoom(this.#deps.database, { creator: host, sinceMs: task.timestampMs - 1000, mark })
    if (known !== undefined) return known
    return this.#deps.creation.create(internalRequester(host), {
      preset: 'public_chat',
      name: textOf(task.params['new_room_name']) ?? NAME_DEFAULT,
      powerLevelContentOverride: { users_default: -10 },
      creationContent: { [MARK]: task.taskId },
    })
  }

  async #purge(task: RunningTask, options: { readonly isForced: boolean; readonly known: Shutdown | undefined }): Promise<void> {
    const { database, purges, serverName } = this.#deps
    const roomId = task.resourceId as RoomId
    const shutdown = options.known === undefined ? {} : { shutdown: toJson(options.known) }
    let roomNid = typeof task.progress['room_nid'] === 'number' ? task.progress['room_nid'] : undefined
    if (roomNid === undefined) {
      const rows = await getMembershipsOfRoom(database, roomId)
      const ours = rows.filter(({ userId }) => serverNameOf(userId) === serverName)
      if (!options.isForced && ours.some(({ membership }) => membership === 'join'))
        throw new MatrixError('M_UNKNOWN', 'Users are still joined to this room', { status: 400 })
      await this.#awaitSent(task)
      for (let start = 0; start < ours.length; start += USERS_AT_ONCE) {
        const some = ours.slice(start, start + USERS_AT_ONCE).map(({ userId }) => userId)
        await database.transaction('delete_room_data', (tx) => deleteRoomDataOfUsers(tx, roomId, some))
      }
      roomNid = await getRoomNid(database, roomId)
      if (roomNid === undefined) return
      // What is left of it is only found by its number: that is written down before.
      await task.save({ stage: 'vanishing', room_nid: roomNid, ...shutdown })
    }
    const room = { roomId, roomNid }
    await database.transaction('delete_room', (tx) => deleteRoom(tx, room))
    await purges.tell({ roomId, isGone: true })
    await this.#deleteRest(task, roomNid)
    await purges.tell({ roomId, isGone: true })
  }

  async #deleteRest(task: RunningTask, roomNid: number): Promise<void> {
    const { database } = this.#deps
    for (const work of [
      () => database.transaction('delete_room_events', (tx) => deleteRoomEvents(tx, roomNid, EVENTS_AT_ONCE)),
      () => database.transaction('delete_room_state', (tx) => deleteRoomState(tx, roomNid, INTERVALS_AT_ONCE)),
    ])
      while (!task.signal.aborted && (await work())) await pause(REST_MS, task.signal)
  }

  async #awaitSent(task: RunningTask): Promise<void> {
    const endMs = this.#deps.clock.monotonicMs() + UNSENT_WAIT_MS
    while (!task.signal.aborted && this.#deps.clock.monotonicMs() < endMs) {
      if ((await countUnsentOfRoom(this.#deps.database, task.resourceId as RoomId)) === 0) return
      await pause(UNSENT_LOOK_MS, task.signal)
    }
  }
}

/** The answer of the admin API. */
function toJson(shutdown: Shutdown): JsonObject {
  return {
    kicked_users: shutdown.kicked,
    failed_to_kick_users: shutdown.failed,
    local_aliases: [...shutdown.aliases],
    new_room_id: shutdown.newRoomId ?? null,
  }
}

function readShutdown(value: unknown): Shutdown {
  const given = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  const list = (key: string): string[] => (Array.isArray(given[key]) ? (given[key] as string[]) : [])
  return {
    kicked: list('kicked_users'),
    failed: list('failed_to_kick_users'),
    aliases: list('local_aliases'),
    newRoomId: textOf(given['new_room_id']) as RoomId | undefined,
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
