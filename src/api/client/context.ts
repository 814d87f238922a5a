import type { Config } from '../../config/config.ts'
import type { RateLimiter } from '../../http/rate-limiter.ts'
import type { AccountValidity } from '../../services/accounts/account-validity.ts'
import type { AccountFacts } from '../../services/accounts/account-facts.ts'
import type { Accounts } from '../../services/accounts/accounts.ts'
import type { Admission } from '../../services/accounts/admission.ts'
import type { Consents } from '../../services/accounts/consents.ts'
import type { InteractiveAuth } from '../../services/accounts/interactive-auth.ts'
import type { Login } from '../../services/accounts/login.ts'
import type { OpenIdTokens } from '../../services/accounts/open-id.ts'
import type { Registration } from '../../services/accounts/registration.ts'
import type { Authenticator } from '../../services/accounts/requester.ts'
import type { Sessions } from '../../services/accounts/sessions.ts'
import type { SharedSecretRegistration } from '../../services/accounts/shared-secret-registration.ts'
import type { ThreepidValidation } from '../../services/accounts/threepid-validation.ts'
import type { Threepids } from '../../services/accounts/threepids.ts'
import type { AdminAccounts } from '../../services/accounts/admin-accounts.ts'
import type { AppserviceAccounts } from '../../services/appservices/appservice-accounts.ts'
import type { AppserviceQueries } from '../../services/appservices/appservice-queries.ts'
import type { DelayedEvents } from '../../services/delayed-events/delayed-events.ts'
import type { Devices } from '../../services/devices/devices.ts'
import type { CrossSigning } from '../../services/encryption/cross-signing.ts'
import type { DehydratedDevices } from '../../services/encryption/dehydrated-devices.ts'
import type { DeviceKeyStore } from '../../services/encryption/device-key-store.ts'
import type { DeviceLists } from '../../services/encryption/device-lists.ts'
import type { KeyBackups } from '../../services/encryption/key-backups.ts'
import type { KeyQuery } from '../../services/encryption/key-query.ts'
import type { SignatureUpload } from '../../services/encryption/signature-upload.ts'
import type { Presence } from '../../services/ephemeral/presence.ts'
import type { Receipts } from '../../services/ephemeral/receipts.ts'
import type { Typing } from '../../services/ephemeral/typing.ts'
import type { MediaCare } from '../../services/media/media-care.ts'
import type { MediaRepository } from '../../services/media/media-repository.ts'
import type { UrlPreviews } from '../../services/media/previews/url-previews.ts'
import type { Thumbnails } from '../../services/media/thumbnails.ts'
import type { EventCreator } from '../../services/events/event-creator.ts'
import type { Notifications } from '../../services/push/notifications.ts'
import type { PushRules } from '../../services/push/push-rules.ts'
import type { Pushers } from '../../services/push/pushers.ts'
import type { BackgroundUpdates } from '../../services/purge/background-updates.ts'
import type { BlockedRooms } from '../../services/purge/blocked-rooms.ts'
import type { HistoryPurges } from '../../services/purge/history-purges.ts'
import type { RoomDeletions } from '../../services/purge/room-deletions.ts'
import type { ScheduledTasks } from '../../services/purge/scheduled-tasks.ts'
import type { UserRedactions } from '../../services/purge/user-redactions.ts'
import type { Relations } from '../../services/relations/relations.ts'
import type { Destinations } from '../../services/federation/outbound/destinations.ts'
import type { RemoteReads } from '../../services/federation/outbound/remote-reads.ts'
import type { RemoteAliases } from '../../services/federation/remote/remote-aliases.ts'
import type { AdminRooms } from '../../services/rooms/admin-rooms.ts'
import type { RoomAliases } from '../../services/rooms/aliases.ts'
import type { PublicRooms } from '../../services/rooms/public-rooms.ts'
import type { SpaceHierarchies } from '../../services/rooms/hierarchy.ts'
import type { MembershipChanges } from '../../services/rooms/membership-changes.ts'
import type { RoomCreation } from '../../services/rooms/room-creation.ts'
import type { ThreepidInvitations } from '../../services/rooms/threepid-invitations.ts'
import type { RoomPromotion } from '../../services/rooms/room-promotion.ts'
import type { ServerNotices } from '../../services/rooms/server-notices.ts'
import type { RoomUpgrade } from '../../services/rooms/room-upgrade.ts'
import type { Memberships } from '../../services/rooms/memberships.ts'
import type { EventReports } from '../../services/rooms/event-reports.ts'
import type { Reports } from '../../services/rooms/reports.ts'
import type { RoomPreviews } from '../../services/rooms/summary.ts'
import type { RoomTimes } from '../../services/rooms/reading/room-times.ts'
import type { RoomDirectory } from '../../services/rooms/directory.ts'
import type { RoomMessages } from '../../services/rooms/reading/room-messages.ts'
import type { RoomStates } from '../../services/rooms/reading/room-states.ts'
import type { MessageSearch } from '../../services/search/message-search.ts'
import type { SearchAnswers } from '../../services/search/search-answers.ts'
import type { EventStream } from '../../services/sync/event-stream.ts'
import type { SlidingSyncService } from '../../services/sliding-sync/sliding-sync-service.ts'
import type { SyncService } from '../../services/sync/sync-service.ts'
import type { RoomSnapshots } from '../../services/sync/room-snapshots.ts'
import type { ToDeviceSender } from '../../services/to-device/to-device-sender.ts'
import type { AccountData } from '../../services/user-data/account-data.ts'
import type { FilterStore } from '../../services/user-data/filter-store.ts'
import type { Profiles } from '../../services/user-data/profiles.ts'
import type { Tags } from '../../services/user-data/tags.ts'
import type { UserDirectory } from '../../services/user-data/user-directory.ts'
import type { TemplateRenderer } from '../../templates/template-renderer.ts'
import type { Clock } from '../../util/clock.ts'
import type { KeysContext } from '../keys/context.ts'
import type { TopologyReader } from '../replication/process-status.ts'

/** The services that client endpoints may call; process/assemble.ts makes it. */
export interface ClientContext extends KeysContext {
  readonly config: Config
  readonly topology: Pick<TopologyReader, 'read'>
  readonly sync: SyncService
  readonly slidingSync: SlidingSyncService
  readonly clock: Clock
  readonly rateLimiter: RateLimiter
  readonly authenticator: Authenticator
  readonly login: Login
  readonly sessions: Sessions
  readonly registration: Registration
  readonly sharedSecretRegistration: SharedSecretRegistration
  readonly interactiveAuth: InteractiveAuth
  readonly accounts: Accounts
  readonly admission: Admission
  readonly consents: Consents
  readonly accountValidity: AccountValidity
  readonly adminAccounts: AdminAccounts
  readonly accountFacts: AccountFacts
  readonly threepids: Threepids
  readonly threepidValidation: ThreepidValidation
  readonly templates: TemplateRenderer
  readonly openIdTokens: OpenIdTokens
  readonly appserviceAccounts: AppserviceAccounts
  readonly appserviceQueries: AppserviceQueries
  readonly devices: Devices
  readonly deviceKeys: DeviceKeyStore
  readonly keyQuery: KeyQuery
  readonly deviceLists: DeviceLists
  readonly crossSigning: CrossSigning
  readonly signatureUpload: SignatureUpload
  readonly keyBackups: KeyBackups
  readonly dehydratedDevices: DehydratedDevices
  readonly toDevice: ToDeviceSender
  readonly accountData: AccountData
  readonly tags: Tags
  readonly filters: FilterStore
  readonly profiles: Profiles
  readonly typing: Typing
  readonly presence: Presence
  readonly userDirectory: UserDirectory
  readonly mediaRepository: MediaRepository
  readonly thumbnails: Thumbnails
  readonly urlPreviews: UrlPreviews
  readonly mediaCare: MediaCare
  readonly receipts: Receipts
  readonly pushRules: PushRules
  readonly pushers: Pushers
  readonly notifications: Notifications
  readonly roomAliases: RoomAliases
  readonly remoteAliases: RemoteAliases
  readonly roomDirectory: RoomDirectory
  readonly roomMessages: RoomMessages
  readonly roomStates: RoomStates
  readonly relations: Relations
  readonly messageSearch: MessageSearch
  readonly eventStream: EventStream
  readonly roomSnapshots: RoomSnapshots
  readonly searchAnswers: SearchAnswers
  readonly publicRooms: PublicRooms
  readonly roomPreviews: RoomPreviews
  readonly spaceHierarchies: SpaceHierarchies
  readonly roomTimes: RoomTimes
  readonly reports: Reports
  readonly eventReports: EventReports
  readonly destinations: Destinations
  readonly remoteReads: RemoteReads
  readonly memberships: Memberships
  readonly eventCreator: EventCreator
  readonly delayedEvents: DelayedEvents
  readonly membershipChanges: MembershipChanges
  readonly roomCreation: RoomCreation
  readonly threepidInvitations: ThreepidInvitations
  readonly roomUpgrade: RoomUpgrade
  readonly serverNotices: ServerNotices
  readonly scheduledTasks: ScheduledTasks
  readonly userRedactions: UserRedactions
  readonly backgroundUpdates: BackgroundUpdates
  readonly blockedRooms: BlockedRooms
  readonly historyPurges: HistoryPurges
  readonly roomDeletions: RoomDeletions
  readonly adminRooms: AdminRooms
  readonly roomPromotion: RoomPromotion
}
