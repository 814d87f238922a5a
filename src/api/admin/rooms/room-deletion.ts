import type { Static } from 'typebox'
import { MatrixError } from '../../../protocol/errors.ts'
import { parseRoomId, parseUserId } from '../../../protocol/ids.ts'
import type { RoomId, UserId } from '../../../protocol/ids.ts'
import { DELETE_ACTIONS } from '../../../services/purge/blocked-rooms.ts'
import type { RoomDeletion } from '../../../services/purge/room-deletions.ts'
import type { TaskRow } from '../../../storage/tables/scheduled-tasks.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../../client/client-endpoint.ts'

const TEXT_CHARACTERS_MAX = 30_000
const params = Type.Object({ roomId: Type.String() })
const nothing = Type.Null()
const body = Type.Object({
  new_room_user_id: Type.Optional(Type.Union([Type.String(), nothing])),
  room_name: Type.Optional(Type.Union([Type.String({ maxLength: TEXT_CHARACTERS_MAX }), nothing])),
  message: Type.Optional(Type.Union([Type.String({ maxLength: TEXT_CHARACTERS_MAX }), nothing])),
  block: Type.Optional(Type.Boolean()),
  purge: Type.Optional(Type.Boolean()),
  force_purge: Type.Optional(Type.Boolean()),
})

/** Deletes a room and answers when it is done. Errors: M_FORBIDDEN, M_INVALID_PARAM, M_UNKNOWN. As Synapse: docs/admin_api/rooms.md, Delete Room API. */
export const deleteRoomAndWait = clientEndpoint({
  operationId: 'admin.deleteRoom',
  method: 'DELETE',
  path: '/_synapse/admin/v1/rooms/:roomId',
  group: 'admin',
  auth: 'admin',
  params,
  body,
  async handler({ params: { roomId: text }, body: wish, requester, request }, ctx) {
    const deletion = toDeletion(parseRoomId(text), wish, requester.userId)
    const { roomId, isBlocked } = deletion
    if (!(await ctx.roomDeletions.isKnown(roomId))) {
      if (!isBlocked) throw new MatrixError('M_UNKNOWN', `Unknown room id ${roomId}`, { status: 400 })
      await ctx.blockedRooms.set(roomId, { isBlocked, userId: requester.userId })
      return { kicked_users: [], failed_to_kick_users: [], local_aliases: [], new_room_id: null }
    }
    const task = await ctx.scheduledTasks.waitForEnd(await ctx.roomDeletions.begin(deletion), request.signal)
    if (task?.status === 'failed') throw new MatrixError('M_UNKNOWN', task.error ?? 'The deletion failed', { status: 400 })
    return shutdownOf(task)
  },
})

/** Begins to delete a room. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM, M_UNKNOWN. As Synapse: docs/admin_api/rooms.md, Delete Room API. */
export const beginRoomDeletion = clientEndpoint({
  operationId: 'admin.deleteRoomV2',
  method: 'DELETE',
  path: '/_synapse/admin/v2/rooms/:roomId',
  group: 'admin',
  auth: 'admin',
  params,
  body,
  async handler({ params: { roomId }, body: wish, requester }, ctx) {
    return { delete_id: await ctx.roomDeletions.begin(toDeletion(parseRoomId(roomId), wish, requester.userId)) }
  },
})

/** Tells how the deletions of a room go. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. As Synapse. */
export const getRoomDeletions = clientEndpoint({
  operationId: 'admin.getRoomDeletions',
  method: 'GET',
  path: '/_synapse/admin/v2/rooms/:roomId/delete_status',
  group: 'admin',
  auth: 'admin',
  params,
  async handler({ params: { roomId } }, ctx) {
    const tasks = await ctx.scheduledTasks.list({ resourceId: parseRoomId(roomId), actions: DELETE_ACTIONS })
    if (tasks.length === 0) throw new MatrixError('M_NOT_FOUND', `No delete task for room_id '${roomId}' found`)
    return { results: tasks.map(taskJson) }
  },
})

/** Tells how one deletion goes. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse. */
export const getRoomDeletion = clientEndpoint({
  operationId: 'admin.getRoomDeletion',
  method: 'GET',
  path: '/_synapse/admin/v2/rooms/delete_status/:deleteId',
  group: 'admin',
  auth: 'admin',
  params: Type.Object({ deleteId: Type.String() }),
  async handler({ params: { deleteId } }, ctx) {
    const task = await ctx.scheduledTasks.get(deleteId)
    if (!task || !DELETE_ACTIONS.some((action) => action === task.action))
      throw new MatrixError('M_NOT_FOUND', `delete id '${deleteId}' not found`)
    return taskJson(task)
  },
})

function toDeletion(roomId: RoomId, wish: Static<typeof body>, requesterId: UserId): RoomDeletion {
  const newRoomUserId = wish.new_room_user_id ?? undefined
  return {
    roomId,
    requesterId,
    newRoomUserId: newRoomUserId === undefined ? undefined : parseUserId(newRoomUserId),
    newRoomName: wish.room_name ?? undefined,
    message: wish.message ?? undefined,
    isBlocked: wish.block ?? false,
    isPurged: wish.purge ?? true,
    isForced: wish.force_purge ?? false,
  }
}

function taskJson(task: TaskRow): Record<string, unknown> {
  return {
    delete_id: task.taskId,
    room_id: task.resourceId,
    status: task.status,
    ...(task.status === 'failed' ? { error: task.error } : {}),
    shutdown_room: shutdownOf(task),
  }
}

function shutdownOf(task: TaskRow | undefined): unknown {
  if (task?.result) return JSON.parse(task.result) as unknown
  return { kicked_users: [], failed_to_kick_users: [], local_aliases: [], new_room_id: null }
}
