import type { UserId } from '../../protocol/ids.ts'
import type { Database, Queryable } from '../../storage/database.ts'
import {
  getChangedUsers,
  getDeviceListChanges,
  getNewestDeviceListChanges,
  getSharingChanges,
  upsertDeviceListChanges,
} from '../../storage/tables/device-lists.ts'
import type { DeviceListChange } from '../../storage/tables/device-lists.ts'
import type { LaneCommitter } from '../../streams/lane-committer.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { Memberships } from '../rooms/memberships.ts'

/** Changes kept in memory; twice as many before the older half goes. */
const CHANGES_MAX = 20_000

/** What /sync says in `device_lists`. */
export interface DeviceListUpdate {
  readonly changed: readonly UserId[]
  readonly left: readonly UserId[]
}

export interface DeviceListQuery {
  readonly userId: UserId
  readonly after: StreamPosition
  readonly upTo: StreamPosition
  /** Users with whom the asking one has begun to share a room since. */
  readonly newlySharedUsers?: Iterable<UserId>
  /** Users with whom it shares one room less since; those that share another are left out here. */
  readonly noLongerSharedUsers?: Iterable<UserId>
}

interface LoggedChange {
  readonly position: StreamPosition
  readonly userId: UserId
  readonly viewerId: UserId | undefined
}

/** Tells who changed their devices or cross-signing keys: the stream device_lists. Promise P7. */
export class DeviceLists {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #committer: LaneCommitter<'device_lists'>
  readonly #memberships: Pick<Memberships, 'getUsersSharingRooms'>
  /** Every change after `#floor`, in order of position. */
  readonly #log: LoggedChange[] = []
  #floor = 0 as StreamPosition

  constructor(deps: {
    database: Database
    hub: StreamHub
    committer: LaneCommitter<'device_lists'>
    memberships: Pick<Memberships, 'getUsersSharingRooms'>
  }) {
    this.#database = deps.database
    this.#hub = deps.hub
    this.#committer = deps.committer
    this.#memberships = deps.memberships
    deps.hub.setReadSince('device_lists', async (_lane, after, upTo) => {
      const changes = await getDeviceListChanges(deps.database, after, upTo)
      return changes.map(({ position, userId, viewerId }) => ({ position, row: { userId, viewerId } }))
    })
    deps.hub.onRow('device_lists', (row, position) => {
      this.#log.push({ position, userId: row.userId as UserId, viewerId: row.viewerId as UserId | undefined })
      if (this.#log.length > 2 * CHANGES_MAX) this.#floor = this.#log.splice(0, CHANGES_MAX).at(-1)?.position ?? this.#floor
    })
    deps.hub.onReset('device_lists', (head) => {
      this.#log.length = 0
      this.#floor = head
    })
  }

  /** Loads the newest changes. Called once, when the heads of the streams are known and before the first request. */
  async start(): Promise<void> {
    const changes = await getNewestDeviceListChanges(this.#database, { upTo: this.#hub.head('device_lists'), limit: CHANGES_MAX })
    this.#log.unshift(...changes.reverse())
    this.#floor = changes.length < CHANGES_MAX ? (0 as StreamPosition) : (changes[0]?.position ?? this.#floor)
  }

  /** Tells everyone who shares a room with the users that their devices or keys changed. */
  async markChanged(users: UserId | readonly UserId[]): Promise<void> {
    const userIds = typeof users === 'string' ? [users] : users
    await this.commit(userIds.map((userId) => ({ userId, viewerId: undefined })))
  }

  /**
   * Commits changes of keys together with their announcement. All statements of `write` are issued at once; none awaits another.
   */
  async commit<Result = undefined>(
    changes: readonly DeviceListChange[],
    write?: (tx: Queryable) => Promise<Result>,
  ): Promise<Result | undefined> {
    if (changes.length === 0) return undefined
    const { result } = await this.#committer.commit({
      count: changes.length,
      write: async (tx, firstIndex) => {
        const [result] = await Promise.all([write?.(tx), upsertDeviceListChanges(tx, firstIndex, changes)])
        return result
      },
      rows: () => changes,
    })
    return result
  }

  /** Tells whether anything changed after the position; false is certain. */
  hasChanges(after: StreamPosition): boolean {
    return after < this.#floor || (this.#log.at(-1)?.position ?? 0) > after
  }

  /**
   * Lists whose keys changed in (after, upTo] among those who share a room with the user, itself included, and whose keys need no
   * longer be followed. May name a user whose change came after `upTo`. Spec: client-server-api § Tracking the device list for a
   * user.
   */
  async getChanges(query: DeviceListQuery): Promise<DeviceListUpdate> {
    const newlyShared = new Set(query.newlySharedUsers)
    const noLongerShared = new Set(query.noLongerSharedUsers)
    const hasChanges = this.hasChanges(query.after)
    if (!hasChanges && newlyShared.size === 0 && noLongerShared.size === 0) return { changed: [], left: [] }
    const sharing = await this.#memberships.getUsersSharingRooms(query.userId)
    const changed = hasChanges ? await this.#getChangedUsers(query, sharing) : new Set<UserId>()
    for (const userId of newlyShared) if (sharing.has(userId)) changed.add(userId)
    return { changed: [...changed], left: [...noLongerShared].filter((userId) => !sharing.has(userId)) }
  }

  async #getChangedUsers(query: DeviceListQuery, sharing: ReadonlySet<UserId>): Promise<Set<UserId>> {
    if (query.after < this.#floor) {
      // A user's newest change hides the ones before, so there is no upper bound here.
      return new Set(await getChangedUsers(this.#database, query.after, [...sharing], query.userId))
    }
    const changed = new Set<UserId>()
    for (let index = this.#firstIndexAfter(query.after); index < this.#log.length; index++) {
      const change = this.#log[index]
      if (!change || change.position > query.upTo) break
      const isTold = change.viewerId === undefined ? sharing.has(change.userId) : change.viewerId === query.userId
      if (isTold) changed.add(change.userId)
    }
    return changed
  }

  /** Binary search for the first entry with a greater position. */
  #firstIndexAfter(after: StreamPosition): number {
    let low = 0
    let high = this.#log.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#log[middle]?.position ?? 0) > after) high = middle
      else low = middle + 1
    }
    return low
  }

  /** The same for a client that asks by its own tokens, from the memberships as they are now. Spec: GET /keys/changes. */
  async getChangesSince(query: {
    userId: UserId
    after: StreamPosition
    eventsAfter: StreamPosition
  }): Promise<DeviceListUpdate> {
    const { userId, after, eventsAfter } = query
    // A client asks this after a pause: whatever any process has committed must be told.
    await this.#hub.catchUpTo('device_lists', 0, Number.POSITIVE_INFINITY)
    const sharingChanges = await getSharingChanges(this.#database, userId, eventsAfter)
    return this.getChanges({
      userId,
      after,
      upTo: Number.MAX_SAFE_INTEGER as StreamPosition,
      newlySharedUsers: sharingChanges.filter((change) => change.hasCome).map((change) => change.userId),
      noLongerSharedUsers: sharingChanges.filter((change) => !change.hasCome).map((change) => change.userId),
    })
  }
}
