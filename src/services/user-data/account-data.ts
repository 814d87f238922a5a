import { MatrixError } from '../../protocol/errors.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import { ALLOW_ALL_INVITES, parseInviteFilter, parseInvitePermission } from '../../protocol/invite-rules.ts'
import type { InviteRules } from '../../protocol/invite-rules.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import {
  getAccountData,
  getAccountDataRowsSince,
  getAllAccountData,
  getChangedAccountData,
  replaceAccountData,
  upsertAccountData,
} from '../../storage/tables/account-data.ts'
import type { AccountDataRow } from '../../storage/tables/account-data.ts'
import { EntityChanges } from '../../streams/entity-changes.ts'
import type { LaneCommitter } from '../../streams/lane-committer.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'

const CACHED_ITEMS_MAX = 20_000
const TYPE_BYTES_MAX = 255
/** Attempts at a change that depends on what was there, before we give up against rivals. */
const CHANGE_ATTEMPTS_MAX = 20
const IGNORED_USERS_TYPE = 'm.ignored_user_list'
const INVITE_PERMISSION_TYPE = 'm.invite_permission_config'
const INVITE_FILTER_TYPE = 'org.matrix.msc4155.invite_permission_config'

export interface AccountDataItem {
  readonly type: string
  readonly contentJson: string
}

/** Items of one user: the global ones, and those of each room that has some. */
export interface AccountDataSet {
  readonly global: readonly AccountDataItem[]
  readonly rooms: ReadonlyMap<RoomId, readonly AccountDataItem[]>
}

/** Some users: a set, or a rule. */
export interface UserPredicate {
  has(userId: UserId): boolean
}

interface CachedItem {
  readonly contentJson: string | undefined
  /** Made on first use, from an `m.ignored_user_list`. */
  ignoredUsers: ReadonlySet<string> | undefined
  /** Made on first use, from what the user says of invites. */
  inviteRules: InviteRules | undefined
}

/** Keeps what clients store about themselves, global and per room. Spec: client-server-api § Client Config. */
export class AccountData {
  readonly #database: Database
  readonly #committer: LaneCommitter<'account_data'>
  readonly #hub: StreamHub
  readonly #filtersInvites: boolean
  readonly #changes = new EntityChanges<string>()
  readonly #globalItems = cacheOfEntries<string, Promise<CachedItem>>(CACHED_ITEMS_MAX)

  /** `filtersInvites`: option experimental_features.msc4155_enabled. */
  constructor(deps: { database: Database; hub: StreamHub; committer: LaneCommitter<'account_data'>; filtersInvites?: boolean }) {
    this.#filtersInvites = deps.filtersInvites === true
    this.#database = deps.database
    this.#committer = deps.committer
    this.#hub = deps.hub
    deps.hub.onRow('account_data', (row, position) => {
      this.#changes.note(row.userId, position)
      if (row.roomId === undefined) this.#globalItems.delete(cacheKey(row.userId, row.type))
    })
    deps.hub.onReset('account_data', (head) => {
      this.#changes.reset(head)
      this.#globalItems.clear()
    })
    deps.hub.setReadSince('account_data', async (_lane, after, upTo) =>
      (await getAccountDataRowsSince(this.#database, { after, upTo })).map(({ position, userId, roomId, type }) => ({
        position,
        row: { userId, roomId: roomId === '' ? undefined : roomId, type },
      })),
    )
  }

  /** Must be called once the stream's head is known. */
  start(): void {
    this.#changes.start(this.#hub.head('account_data'))
  }

  /** Stores an item; `roomId` undefined for a global one. The API refuses the types that the server manages, this does not. */
  async set(item: { userId: UserId; roomId: RoomId | undefined; type: string; contentJson: string }): Promise<StreamPosition> {
    return this.#write({ ...item, isDeleted: false })
  }

  /** Removes an item; readers get `{}` in its place. Idempotent. Spec: MSC3391. */
  async delete(item: { userId: UserId; roomId: RoomId | undefined; type: string }): Promise<void> {
    checkType(item.type)
    const found = await getAccountData(this.#database, { userId: item.userId, roomId: item.roomId ?? '', type: item.type })
    if (found && !found.isDeleted) await this.#write({ ...item, contentJson: '{}', isDeleted: true })
  }

  async #write(item: {
    userId: UserId
    roomId: RoomId | undefined
    type: string
    contentJson: string
    isDeleted: boolean
  }): Promise<StreamPosition> {
    checkType(item.type)
    const { userId, roomId, type } = item
    const written = await this.#committer.commit({
      count: 1,
      write: (tx, index) => upsertAccountData(tx, index, { ...item, roomId: roomId ?? '' }),
      rows: () => [{ userId, roomId, type }],
    })
    return written.positions[0] ?? this.#hub.head('account_data')
  }

  /** Changes an item by a function of what is there now; undefined from it means that nothing is to do. Safe against rivals. */
  async change(
    item: { userId: UserId; roomId: RoomId | undefined; type: string },
    change: (content: JsonObject) => JsonObject | undefined,
  ): Promise<void> {
    const { userId, roomId, type } = item
    const key = { userId, roomId: roomId ?? '', type }
    for (let attempt = 0; attempt < CHANGE_ATTEMPTS_MAX; attempt++) {
      const found = await getAccountData(this.#database, key)
      const content = change(parseContent(found?.contentJson))
      if (content === undefined) return
      const row = { ...key, contentJson: JSON.stringify(content), expected: found?.position ?? 0 }
      const { result } = await this.#committer.commit({
        count: 1,
        write: (tx, index) => replaceAccountData(tx, index, row),
        rows: (isReplaced) => (isReplaced ? [{ userId, roomId, type }] : []),
      })
      if (result) return
    }
    throw new MatrixError('M_LIMIT_EXCEEDED', 'Too many changes at once', { extra: { retry_after_ms: 1000 } })
  }

  /** A global item's JSON text; undefined where there is none. From memory, mostly. */
  async get(userId: UserId, type: string): Promise<string | undefined> {
    return (await this.#cached(userId, type)).contentJson
  }

  /** An item of a room as JSON text; undefined where there is none. */
  async getForRoom(userId: UserId, roomId: RoomId, type: string): Promise<string | undefined> {
    const found = await getAccountData(this.#database, { userId, roomId, type })
    return found && !found.isDeleted ? found.contentJson : undefined
  }

  #cached(userId: UserId, type: string): Promise<CachedItem> {
    const key = cacheKey(userId, type)
    const known = this.#globalItems.get(key)
    if (known) return known
    // A write that commits while this loads deletes the entry when it is applied, so nothing stale stays.
    const loading = getAccountData(this.#database, { userId, roomId: '', type }).then((found): CachedItem => ({
      contentJson: found && !found.isDeleted ? found.contentJson : undefined,
      ignoredUsers: undefined,
      inviteRules: undefined,
    }))
    this.#globalItems.set(key, loading)
    loading.catch(() => {
      if (this.#globalItems.peek(key) === loading) this.#globalItems.delete(key)
    })
    return loading
  }

  /** Whom the user does not want to hear of. Spec: client-server-api § Ignoring Users. */
  async getIgnoredUsers(userId: UserId): Promise<ReadonlySet<string>> {
    const item = await this.#cached(userId, IGNORED_USERS_TYPE)
    return (item.ignoredUsers ??= parseIgnoredUsers(item.contentJson, userId))
  }

  /** What the user thinks of invites; the permission goes before the filter. Spec: client-server-api § Invite permission, MSC4155. */
  async getInviteRules(userId: UserId): Promise<InviteRules> {
    const permission = await this.#cached(userId, INVITE_PERMISSION_TYPE)
    if (permission.contentJson !== undefined)
      return (permission.inviteRules ??= parseInvitePermission(parseContent(permission.contentJson)))
    if (!this.#filtersInvites) return ALLOW_ALL_INVITES
    const filter = await this.#cached(userId, INVITE_FILTER_TYPE)
    return (filter.inviteRules ??= parseInviteFilter(parseContent(filter.contentJson)))
  }

  /** Whose invites the user does not want to see. */
  async getUnwantedInviters(userId: UserId): Promise<UserPredicate> {
    const ignored = await this.getIgnoredUsers(userId)
    if (!this.#filtersInvites) return ignored
    const rules = await this.getInviteRules(userId)
    if (rules === ALLOW_ALL_INVITES) return ignored
    return { has: (sender) => ignored.has(sender) || rules.ruleFor(sender) === 'ignore' }
  }

  /** All that the user has. Push rules are not among it: they have their own service. */
  async getAll(userId: UserId): Promise<AccountDataSet> {
    return groupByRoom(await getAllAccountData(this.#database, userId))
  }

  /** What changed with after < position <= upTo; deleted items come as `{}`. */
  async getChanged(range: { userId: UserId; after: StreamPosition; upTo: StreamPosition }): Promise<AccountDataSet> {
    if (!this.hasChanged(range.userId, range.after)) return { global: [], rooms: new Map() }
    return groupByRoom(await getChangedAccountData(this.#database, range))
  }

  /** Tells whether anything of the user may have changed since; from memory. */
  hasChanged(userId: UserId, after: StreamPosition): boolean {
    return this.#changes.hasChanged(userId, after)
  }
}

function cacheKey(userId: string, type: string): string {
  return `${userId} ${type}`
}

function checkType(type: string): void {
  if (type === '' || Buffer.byteLength(type) > TYPE_BYTES_MAX || type.includes('\u0000') || !type.isWellFormed()) {
    throw new MatrixError('M_INVALID_PARAM', 'The type of account data is malformed')
  }
}

function parseContent(contentJson: string | undefined): JsonObject {
  // Written by ourselves, from JSON that was checked then.
  const content: unknown = contentJson === undefined ? {} : JSON.parse(contentJson)
  return isJsonObject(content) ? content : {}
}

function parseIgnoredUsers(contentJson: string | undefined, userId: UserId): ReadonlySet<string> {
  const users = parseContent(contentJson)['ignored_users']
  const ignored = new Set(isJsonObject(users) ? Object.keys(users) : [])
  // Who ignores themselves would stop seeing what they do.
  ignored.delete(userId)
  return ignored
}

function groupByRoom(rows: readonly AccountDataRow[]): AccountDataSet {
  const global: AccountDataItem[] = []
  const rooms = new Map<RoomId, AccountDataItem[]>()
  for (const { roomId, type, contentJson } of rows) {
    const item = { type, contentJson }
    if (roomId === '') {
      global.push(item)
      continue
    }
    const items = rooms.get(roomId as RoomId)
    if (items) items.push(item)
    else rooms.set(roomId as RoomId, [item])
  }
  return { global, rooms }
}
