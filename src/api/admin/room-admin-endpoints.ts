import {
  getBackgroundUpdates,
  getBackgroundUpdatesEnabled,
  setBackgroundUpdatesEnabled,
  startBackgroundJob,
} from './background-updates.ts'
import { getPurgeHistoryStatus, purgeHistory, purgeHistoryToEvent } from './purge-history.ts'
import {
  fetchEvent,
  getAdminEventByTimestamp,
  getAdminEventContext,
  getAdminHierarchy,
  getAdminRoomMessages,
  getAdminRoomState,
  getRoomMembers,
} from './rooms/room-content.ts'
import {
  deleteForwardExtremities,
  getForwardExtremities,
  getRoomBlock,
  joinUserToRoom,
  makeRoomAdmin,
  putRoomBlock,
} from './rooms/room-control.ts'
import { beginRoomDeletion, deleteRoomAndWait, getRoomDeletion, getRoomDeletions } from './rooms/room-deletion.ts'
import { getRoomDetails, listRooms } from './rooms/room-list.ts'
import { listScheduledTasks } from './scheduled-tasks.ts'

/** The half of the admin API that is about rooms, and about work that outlives requests. */
export const ROOM_ADMIN_ENDPOINTS = [
  listRooms,
  getRoomDetails,
  getRoomMembers,
  getAdminRoomState,
  getAdminRoomMessages,
  getAdminEventContext,
  getAdminEventByTimestamp,
  getAdminHierarchy,
  fetchEvent,
  getRoomBlock,
  putRoomBlock,
  joinUserToRoom,
  makeRoomAdmin,
  getForwardExtremities,
  deleteForwardExtremities,
  deleteRoomAndWait,
  beginRoomDeletion,
  getRoomDeletions,
  getRoomDeletion,
  purgeHistory,
  purgeHistoryToEvent,
  getPurgeHistoryStatus,
  getBackgroundUpdates,
  getBackgroundUpdatesEnabled,
  setBackgroundUpdatesEnabled,
  startBackgroundJob,
  listScheduledTasks,
]
