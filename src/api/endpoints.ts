import type { Endpoint } from '../http/endpoint.ts'
import type { ClientContext } from './client/context.ts'
import { getAdminLockUser, getAdminSuspendUser, setAdminLockUser, setAdminSuspendUser } from './admin/account-moderation.ts'
import { listEventReports, removeEventReport, showEventReport } from './admin/event-reports.ts'
import { ACCOUNT_ADMIN_ENDPOINTS } from './admin/account-admin-endpoints.ts'
import { MEDIA_ADMIN_ENDPOINTS } from './admin/media-admin-endpoints.ts'
import { ROOM_ADMIN_ENDPOINTS } from './admin/room-admin-endpoints.ts'
import { getDestinationDetails, listDestinationRooms, listDestinations, resetDestinationConnection } from './admin/federation.ts'
import { getRegistrationNonce, registerWithSharedSecret } from './admin/register.ts'
import { getTopology } from './admin/topology.ts'
import { getWhoIs } from './admin/whois.ts'
import {
  deleteAccountData,
  deleteAccountDataPerRoom,
  getAccountData,
  getAccountDataPerRoom,
  setAccountData,
  setAccountDataPerRoom,
} from './client/account/account-data.ts'
import { deleteProfileField, getProfileField, getUserProfile, setProfileField } from './client/account/profile.ts'
import { deactivateAccount } from './client/account/account-deactivation.ts'
import { THREEPID_ENDPOINTS } from './client/account/threepid-endpoints.ts'
import { ADMISSION_ENDPOINTS } from './consent/admission-endpoints.ts'
import { pingAppservice } from './client/appservice/appservice-ping.ts'
import { updateAppserviceRoomDirectoryVisibility } from './client/appservice/appservice-room-directory.ts'
import { deleteDevice, deleteDevices, getDevice, getDevices, updateDevice } from './client/account/device-management.ts'
import { requestOpenIdToken } from './client/account/openid.ts'
import { changePassword, getPasswordPolicy } from './client/account/password-management.ts'
import { getTokenOwner } from './client/account/whoami.ts'
import { deleteRoomTag, getRoomTags, setRoomTag } from './client/account/tags.ts'
import { searchUserDirectory } from './client/account/users.ts'
import { generateLoginToken } from './client/auth/login-token.ts'
import { getLoginFlows, login } from './client/auth/login.ts'
import { logout, logoutAll } from './client/auth/logout.ts'
import { refresh } from './client/auth/refresh.ts'
import { registrationTokenValidity } from './client/auth/registration-tokens.ts'
import { checkUsernameAvailability, register } from './client/auth/registration.ts'
import { uploadCrossSigningKeys, uploadCrossSigningSignatures } from './client/encryption/cross-signing.ts'
import {
  deleteDehydratedDevice,
  getDehydratedDevice,
  getDehydratedDeviceEvents,
  postDehydratedDeviceEvents,
  putDehydratedDevice,
} from './client/encryption/dehydrated-device.ts'
import {
  deleteRoomKeyBySessionId,
  deleteRoomKeys,
  deleteRoomKeysByRoomId,
  getRoomKeyBySessionId,
  getRoomKeys,
  getRoomKeysByRoomId,
  putRoomKeyBySessionId,
  putRoomKeys,
  putRoomKeysByRoomId,
} from './client/encryption/key-backup-sessions.ts'
import {
  deleteRoomKeysVersion,
  getRoomKeysVersion,
  getRoomKeysVersionCurrent,
  postRoomKeysVersion,
  putRoomKeysVersion,
} from './client/encryption/key-backup.ts'
import { claimKeys, getKeysChanges, queryKeys, uploadKeys } from './client/encryption/keys.ts'
import { sendToDevice } from './client/encryption/to-device.ts'
import { getWellknownSupport } from './client/server/support.ts'
import {
  getProtocolMetadata,
  getProtocols,
  queryLocationByAlias,
  queryLocationByProtocol,
  queryUserByID,
  queryUserByProtocol,
} from './client/server/third-party-lookup.ts'
import { getNotifications } from './client/push/notifications.ts'
import { getPushers, postPusher } from './client/push/pusher.ts'
import { showUnsubscribe, unsubscribe } from './client/push/unsubscribe.ts'
import {
  deletePushRule,
  getPushRule,
  getPushRuleActions,
  getPushRules,
  getPushRulesGlobal,
  isPushRuleEnabled,
  setPushRule,
  setPushRuleActions,
  setPushRuleEnabled,
} from './client/push/pushrules.ts'
import { ban, unban } from './client/rooms/banning.ts'
import { createRoom } from './client/rooms/create-room.ts'
import { inviteUser } from './client/rooms/inviting.ts'
import { joinRoom, joinRoomById } from './client/rooms/joining.ts'
import { kick } from './client/rooms/kicking.ts'
import { knockRoom } from './client/rooms/knocking.ts'
import { forgetRoom, leaveRoom } from './client/rooms/leaving.ts'
import { getJoinedRooms } from './client/rooms/list-joined-rooms.ts'
import { redactEvent } from './client/rooms/redaction.ts'
import { getDelayedEvents, updateDelayedEvent, updateDelayedEventByBody } from './client/rooms/delayed-events.ts'
import { sendMessage } from './client/rooms/room-send.ts'
import { setRoomStateWithKey } from './client/rooms/room-state.ts'
import { upgradeRoom } from './client/rooms/room-upgrades.ts'
import { setReadMarker } from './client/rooms/read-markers.ts'
import { postReceipt } from './client/rooms/receipts.ts'
import { getCapabilities } from './client/server/capabilities.ts'
import { getVersions } from './client/server/versions.ts'
import { getTurnServer } from './client/server/voip.ts'
import { getWellKnown, getWellknown } from './client/server/wellknown.ts'
import { deleteRoomAlias, getLocalAliases, getRoomIdByAlias, setRoomAlias } from './client/rooms/directory.ts'
import { getEventContext } from './client/rooms/event-context.ts'
import { getRoomEvents } from './client/rooms/message-pagination.ts'
import {
  getPublicRooms,
  getRoomVisibilityOnDirectory,
  queryPublicRooms,
  setRoomVisibilityOnDirectory,
} from './client/rooms/list-public-rooms.ts'
import { getMutualRooms } from './client/rooms/mutual-rooms.ts'
import { reportEvent, reportRoom, reportUser } from './client/rooms/report-content.ts'
import { getEventByTimestamp } from './client/rooms/room-event-by-timestamp.ts'
import { getRoomSummary } from './client/rooms/room-summary.ts'
import { roomInitialSync } from './client/rooms/room-initial-sync.ts'
import { getSpaceHierarchy } from './client/rooms/space-hierarchy.ts'
import { search } from './client/rooms/search.ts'
import {
  getRelatingEvents,
  getRelatingEventsWithRelType,
  getRelatingEventsWithRelTypeAndEventType,
} from './client/rooms/relations.ts'
import { getThreadRoots } from './client/rooms/threads-list.ts'
import {
  getJoinedMembersByRoom,
  getMembersByRoom,
  getOneRoomEvent,
  getRoomState,
  getRoomStateWithKey,
} from './client/rooms/rooms.ts'
import { slidingSync } from './client/msc/msc4186-sliding-sync.ts'
import { defineFilter, getFilter } from './client/sync/filter.ts'
import { getEvents, getOneEvent, initialSync } from './client/sync/old-sync.ts'
import { getPresence, setPresence } from './client/sync/presence.ts'
import { sync } from './client/sync/sync.ts'
import { setTyping } from './client/sync/typing.ts'
import type { FederationContext } from './federation/context.ts'
import { FEDERATION_ENDPOINTS } from './federation/federation-endpoints.ts'
import { getVersion } from './federation/version.ts'
import { bulkPerspectivesKeyQuery, perspectivesKeyQuery } from './keys/keys-query.ts'
import { getServerKey } from './keys/keys-server.ts'
import {
  getConfigAuthed,
  getContentAuthed,
  getContentOverrideNameAuthed,
  getContentThumbnailAuthed,
} from './media/authed-content-repo.ts'
import {
  createContent,
  getConfig,
  getContent,
  getContentOverrideName,
  getContentThumbnail,
  uploadContent,
  uploadContentToMXC,
} from './media/content-repo.ts'
import { getUrlPreview, getUrlPreviewAuthed } from './media/preview-url.ts'

/** What all endpoints together need. */
export type ApiContext = ClientContext & FederationContext

/** Every endpoint, one list: router, proxy configurations and docs are made from it. */
export const ENDPOINTS: readonly Endpoint<ApiContext>[] = [
  // server
  getWellknown,
  getWellKnown,
  getWellknownSupport,
  getTurnServer,
  getProtocols,
  getProtocolMetadata,
  queryLocationByProtocol,
  queryUserByProtocol,
  queryLocationByAlias,
  queryUserByID,
  getVersions,
  // auth
  getLoginFlows,
  login,
  generateLoginToken,
  refresh,
  logout,
  logoutAll,
  register,
  checkUsernameAvailability,
  registrationTokenValidity,

  // account
  getTokenOwner,
  pingAppservice,
  updateAppserviceRoomDirectoryVisibility,
  changePassword,
  getPasswordPolicy,
  deactivateAccount,
  ...THREEPID_ENDPOINTS,
  ...ADMISSION_ENDPOINTS,
  requestOpenIdToken,
  getCapabilities,
  getDevices,
  getDevice,
  updateDevice,
  deleteDevice,
  deleteDevices,
  setAccountData,
  getAccountData,
  deleteAccountData,
  setAccountDataPerRoom,
  getAccountDataPerRoom,
  deleteAccountDataPerRoom,
  getRoomTags,
  setRoomTag,
  deleteRoomTag,
  searchUserDirectory,
  getUserProfile,
  getProfileField,
  setProfileField,
  deleteProfileField,

  // sync
  sync,
  slidingSync,
  defineFilter,
  getFilter,
  setTyping,
  setPresence,
  getPresence,

  // rooms
  createRoom,
  sendMessage,
  getDelayedEvents,
  updateDelayedEvent,
  updateDelayedEventByBody,
  setRoomStateWithKey,
  redactEvent,
  joinRoom,
  joinRoomById,
  leaveRoom,
  forgetRoom,
  knockRoom,
  inviteUser,
  kick,
  ban,
  unban,
  getJoinedRooms,
  upgradeRoom,
  getOneRoomEvent,
  getRoomState,
  getRoomStateWithKey,
  getMembersByRoom,
  getJoinedMembersByRoom,
  getRoomEvents,
  getEventContext,
  getRoomIdByAlias,
  setRoomAlias,
  deleteRoomAlias,
  getLocalAliases,
  getRoomVisibilityOnDirectory,
  setRoomVisibilityOnDirectory,
  getPublicRooms,
  queryPublicRooms,
  search,
  getEvents,
  getOneEvent,
  initialSync,
  roomInitialSync,
  getMutualRooms,
  reportEvent,
  reportRoom,
  reportUser,
  getEventByTimestamp,
  getRoomSummary,
  getSpaceHierarchy,
  getRelatingEvents,
  getRelatingEventsWithRelType,
  getRelatingEventsWithRelTypeAndEventType,
  getThreadRoots,
  postReceipt,
  setReadMarker,

  // encryption
  uploadKeys,
  queryKeys,
  claimKeys,
  getKeysChanges,
  uploadCrossSigningKeys,
  uploadCrossSigningSignatures,
  sendToDevice,
  postRoomKeysVersion,
  getRoomKeysVersionCurrent,
  getRoomKeysVersion,
  putRoomKeysVersion,
  deleteRoomKeysVersion,
  putRoomKeyBySessionId,
  getRoomKeyBySessionId,
  deleteRoomKeyBySessionId,
  putRoomKeysByRoomId,
  getRoomKeysByRoomId,
  deleteRoomKeysByRoomId,
  putRoomKeys,
  getRoomKeys,
  deleteRoomKeys,
  putDehydratedDevice,
  getDehydratedDevice,
  deleteDehydratedDevice,
  getDehydratedDeviceEvents,
  postDehydratedDeviceEvents,

  // push
  getPushRules,
  getPushRulesGlobal,
  getPushRule,
  setPushRule,
  deletePushRule,
  isPushRuleEnabled,
  setPushRuleEnabled,
  getPushRuleActions,
  setPushRuleActions,
  getNotifications,
  getPushers,
  postPusher,
  showUnsubscribe,
  unsubscribe,

  // media
  uploadContent,
  uploadContentToMXC,
  createContent,
  getContent,
  getContentOverrideName,
  getContentThumbnail,
  getConfig,
  getContentAuthed,
  getContentOverrideNameAuthed,
  getContentThumbnailAuthed,
  getConfigAuthed,
  getUrlPreview,
  getUrlPreviewAuthed,
  ...MEDIA_ADMIN_ENDPOINTS,

  // admin
  getWhoIs,
  getTopology,
  listEventReports,
  showEventReport,
  removeEventReport,
  listDestinations,
  getDestinationDetails,
  listDestinationRooms,
  resetDestinationConnection,
  getAdminLockUser,
  setAdminLockUser,
  getAdminSuspendUser,
  setAdminSuspendUser,
  getRegistrationNonce,
  registerWithSharedSecret,
  ...ROOM_ADMIN_ENDPOINTS,
  ...ACCOUNT_ADMIN_ENDPOINTS,

  // keys
  getServerKey,
  perspectivesKeyQuery,
  bulkPerspectivesKeyQuery,
  getVersion,

  // for other servers
  ...FEDERATION_ENDPOINTS,
]
