import type { DeviceId, RoomId, UserId } from '../../protocol/ids.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { UserPredicate } from '../user-data/account-data.ts'

/** What /sync reads from the other services. Each bounded read costs no query where nothing changed. */
export interface SyncSources {
  readonly accountData: {
    getAll(userId: UserId): Promise<AccountDataSet>
    getChanged(range: { userId: UserId; after: StreamPosition; upTo: StreamPosition }): Promise<AccountDataSet>
    getIgnoredUsers(userId: UserId): Promise<ReadonlySet<string>>
    getUnwantedInviters(userId: UserId): Promise<UserPredicate>
  }
  readonly pushRules: {
    hasChanged(userId: UserId, after: StreamPosition): boolean
    getAccountDataJson(userId: UserId): Promise<string>
  }
  readonly typing: {
    getChanged(query: { roomIds: Iterable<RoomId>; after: StreamPosition }): ReadonlyMap<RoomId, readonly UserId[]>
  }
  readonly receipts: {
    /** Content of `m.receipt` as JSON text. */
    getChanged(query: {
      userId: UserId
      roomIds: Iterable<RoomId>
      after: StreamPosition
      upTo: StreamPosition
      ignoredUserIds?: ReadonlySet<string>
    }): Promise<ReadonlyMap<RoomId, string>>
    getForRooms(
      roomIds: readonly RoomId[],
      userId: UserId,
      ignoredUserIds?: ReadonlySet<string>,
    ): Promise<ReadonlyMap<RoomId, string>>
  }
  readonly unreadCounts: {
    getForRooms(query: { userId: UserId; roomIds: readonly RoomId[] }): Promise<ReadonlyMap<RoomId, UnreadCount>>
  }
  readonly presence: {
    /** Returns what must be called when the request ends. */
    userSyncing(userId: UserId, setPresence: 'online' | 'offline' | 'unavailable', deviceId?: DeviceId): () => void
    /** `m.presence` events as JSON texts. */
    getChanged(range: { userId: UserId; after: StreamPosition; upTo: StreamPosition }): Promise<readonly string[]>
    getInitial(userId: UserId): Promise<readonly string[]>
    getOfUsers(userIds: Iterable<UserId>): Promise<readonly string[]>
  }
  readonly toDevice: {
    getMessages(query: {
      userId: UserId
      deviceId: DeviceId
      after: StreamPosition
      upTo: StreamPosition
      limit: number
    }): Promise<{
      readonly events: readonly string[]
      readonly upTo: StreamPosition
    }>
    deleteUpTo(query: { userId: UserId; deviceId: DeviceId; upTo: StreamPosition }): Promise<void>
  }
  readonly deviceLists: {
    getChanges(query: {
      userId: UserId
      after: StreamPosition
      upTo: StreamPosition
      newlySharedUsers: Iterable<UserId>
      noLongerSharedUsers: Iterable<UserId>
    }): Promise<{ readonly changed: readonly string[]; readonly left: readonly string[] }>
  }
  readonly keyCounts: {
    get(device: { userId: UserId; deviceId: DeviceId }): Promise<{
      readonly oneTimeKeyCounts: Readonly<Record<string, number>>
      readonly unusedFallbackKeyTypes: readonly string[]
    }>
  }
}

export interface AccountDataSet {
  readonly global: readonly { readonly type: string; readonly contentJson: string }[]
  readonly rooms: ReadonlyMap<RoomId, readonly { readonly type: string; readonly contentJson: string }[]>
}

export interface UnreadCount {
  /** Of the main timeline. */
  readonly notificationCount: number
  readonly highlightCount: number
  readonly threads: ReadonlyMap<string, { readonly notificationCount: number; readonly highlightCount: number }>
}
