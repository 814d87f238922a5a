import {
  deleteMedia,
  deleteMediaByDate,
  getMediaInfo,
  listQuarantineChanges,
  protectMedia,
  purgeMediaCache,
  quarantineMedia,
  unprotectMedia,
  unquarantineMedia,
} from './media/media-items.ts'
import { deleteUserMedia, listRoomMedia, listUserMedia, quarantineRoomMedia, quarantineUserMedia } from './media/media-lists.ts'

/** The part of the admin API that is about media. */
export const MEDIA_ADMIN_ENDPOINTS = [
  getMediaInfo,
  deleteMedia,
  deleteMediaByDate,
  purgeMediaCache,
  quarantineMedia,
  unquarantineMedia,
  protectMedia,
  unprotectMedia,
  listQuarantineChanges,
  listRoomMedia,
  quarantineRoomMedia,
  quarantineUserMedia,
  listUserMedia,
  deleteUserMedia,
]
