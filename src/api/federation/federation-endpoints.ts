import type { Endpoint } from '../../http/endpoint.ts'
import { backfillRoom, getMissingPreviousEvents } from './backfill.ts'
import { getContent, getContentThumbnail } from './content-repository.ts'
import type { FederationContext } from './context.ts'
import { getEventAuth } from './event-auth.ts'
import { getEvent, getEventByTimestamp, getRoomState, getRoomStateIds } from './events.ts'
import { makeJoin } from './joins-v1.ts'
import { makeKnock } from './knocks.ts'
import { makeLeave } from './leaving-v1.ts'
import { exchangeOpenIdToken } from './openid.ts'
import { getPublicRooms, queryPublicRooms } from './public-rooms.ts'
import { queryInfo, queryProfile, queryRoomDirectory } from './query.ts'
import { getSpaceHierarchy } from './space-hierarchy.ts'
import { getUserDevices } from './user-devices.ts'
import { claimUserEncryptionKeys, queryUserEncryptionKeys } from './user-keys.ts'

/** Every endpoint for other servers. */
export const FEDERATION_ENDPOINTS: readonly Endpoint<FederationContext>[] = [
  // events
  getEvent,
  getRoomState,
  getRoomStateIds,
  getEventByTimestamp,
  getEventAuth,
  backfillRoom,
  getMissingPreviousEvents,

  // memberships
  makeJoin,
  makeLeave,
  makeKnock,

  // queries
  queryProfile,
  queryRoomDirectory,
  queryInfo,
  getPublicRooms,
  queryPublicRooms,
  getSpaceHierarchy,
  exchangeOpenIdToken,

  // encryption
  getUserDevices,
  claimUserEncryptionKeys,
  queryUserEncryptionKeys,

  // media
  getContent,
  getContentThumbnail,
]
