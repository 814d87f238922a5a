import type { Endpoint } from '../../http/endpoint.ts'
import { backfillRoom, getMissingPreviousEvents } from './backfill.ts'
import { getContent, getContentThumbnail } from './content-repository.ts'
import type { FederationContext } from './context.ts'
import { getEventAuth } from './event-auth.ts'
import { getEvent, getEventByTimestamp, getRoomState, getRoomStateIds } from './events.ts'
import { sendInviteV1 } from './invites-v1.ts'
import { sendInviteV2 } from './invites-v2.ts'
import { makeJoin, sendJoinV1 } from './joins-v1.ts'
import { sendJoinV2 } from './joins-v2.ts'
import { makeKnock, sendKnock } from './knocks.ts'
import { makeLeave, sendLeaveV1 } from './leaving-v1.ts'
import { sendLeaveV2 } from './leaving-v2.ts'
import { exchangeOpenIdToken } from './openid.ts'
import { getPublicRooms, queryPublicRooms } from './public-rooms.ts'
import { queryInfo, queryProfile, queryRoomDirectory } from './query.ts'
import { getSpaceHierarchy } from './space-hierarchy.ts'
import { exchangeThirdPartyInvite, onBindThirdPartyIdentifier } from './third-party-invite.ts'
import { sendTransaction } from './transactions.ts'
import { getUserDevices } from './user-devices.ts'
import { claimUserEncryptionKeys, queryUserEncryptionKeys } from './user-keys.ts'

/** Every endpoint for other servers. */
export const FEDERATION_ENDPOINTS: readonly Endpoint<FederationContext>[] = [
  // events
  sendTransaction,
  getEvent,
  getRoomState,
  getRoomStateIds,
  getEventByTimestamp,
  getEventAuth,
  backfillRoom,
  getMissingPreviousEvents,

  // memberships
  makeJoin,
  sendJoinV1,
  sendJoinV2,
  makeLeave,
  sendLeaveV1,
  sendLeaveV2,
  makeKnock,
  sendKnock,
  sendInviteV1,
  sendInviteV2,
  exchangeThirdPartyInvite,
  onBindThirdPartyIdentifier,

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
