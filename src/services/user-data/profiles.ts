import { MatrixError } from '../../protocol/errors.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { ServerName, UserId } from '../../protocol/ids.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { deleteProfileFields, getProfileFields, getProfileRowsSince, upsertProfileField } from '../../storage/tables/profiles.ts'
import { getUser } from '../../storage/tables/users.ts'
import type { LaneCommitter } from '../../streams/lane-committer.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'
import type { Requester } from '../accounts/requester.ts'
import { checkFieldName, checkFieldValue, PROFILE_BYTES_MAX } from './profile-rules.ts'

const CACHED_PROFILES_MAX = 50_000

/** What member events show of a profile. */
export interface NameAndAvatar {
  readonly displayname?: string
  readonly avatar_url?: string
}

/** Brings a changed name or avatar into the member events of the user's rooms. */
export interface MembershipProfilePropagator {
  propagate(userId: UserId, profile: NameAndAvatar): Promise<void>
}

/** Says which media may be avatars (options `max_avatar_size`, `allowed_avatar_mimetypes`). */
export interface AvatarPolicy {
  isAllowedAvatar(mxcUri: string): Promise<boolean>
}

export interface ProfileOptions {
  readonly serverName: ServerName
  readonly enableSetDisplayname: boolean
  readonly enableSetAvatarUrl: boolean
  readonly requireAuth: boolean
  readonly limitToUsersWhoShareRooms: boolean
}

/** A profile as JSON texts by field name. */
type Fields = ReadonlyMap<string, string>

/** Asks other servers for profiles of their users; throws the MatrixError that the client gets. */
export interface RemoteProfiles {
  getProfile(userId: UserId, field: string | undefined): Promise<JsonObject>
}

interface SharedRooms {
  sharesRoom(userId: UserId, otherId: UserId): Promise<boolean>
}

interface ProfilesDeps {
  readonly database: Database
  readonly hub: StreamHub
  readonly committer: LaneCommitter<'profiles'>
  readonly memberships: SharedRooms
  readonly avatarPolicy: AvatarPolicy
  readonly options: ProfileOptions
}

/** Keeps the profiles of our users: names, avatars and fields of any kind. Spec: client-server-api § Profiles. */
export class Profiles {
  readonly #deps: ProfilesDeps
  readonly #cache = cacheOfEntries<string, Promise<Fields>>(CACHED_PROFILES_MAX)
  #propagator: MembershipProfilePropagator | undefined
  #remote: RemoteProfiles | undefined
  #makesUser: ((userId: string) => Promise<boolean>) | undefined

  constructor(deps: ProfilesDeps) {
    this.#deps = deps
    deps.hub.onRow('profiles', ({ userId }) => void this.#cache.delete(userId))
    deps.hub.onReset('profiles', () => this.#cache.clear())
    deps.hub.setReadSince('profiles', async (_lane, after, upTo) =>
      (await getProfileRowsSince(deps.database, { after, upTo })).map(({ position, userId, field }) => ({
        position,
        row: { userId, field },
      })),
    )
  }

  /** Says who updates member events. Rooms need profiles and profiles need rooms, so this comes after both are made. */
  setPropagator(propagator: MembershipProfilePropagator): void {
    this.#propagator = propagator
  }

  /** Says who asks other servers for the profiles of their users; without it, these are not found. */
  setRemote(remote: RemoteProfiles): void {
    this.#remote = remote
  }

  /** Says who is asked for users that are not known: application services, which may make them. */
  setMaker(makesUser: (userId: string) => Promise<boolean>): void {
    this.#makesUser = makesUser
  }

  /** Gives a new account its first display name; no rooms to tell yet. */
  async create(userId: UserId, displayname: string | undefined): Promise<void> {
    if (displayname !== undefined && displayname !== '') await this.#write(userId, 'displayname', displayname)
  }

  /** Takes all fields away, without telling the rooms: for erased accounts, which leave them. */
  async clear(userId: UserId): Promise<void> {
    const names = [...(await this.#load(userId)).keys()]
    if (names.length > 0) await this.#delete(userId, names)
  }

  /** The name and avatar for member events; empty for users that we know nothing of. From memory, mostly. */
  async getNameAndAvatar(userId: UserId): Promise<NameAndAvatar> {
    const fields = await this.#load(userId)
    const displayname = textField(fields, 'displayname')
    const avatarUrl = textField(fields, 'avatar_url')
    return {
      ...(displayname === undefined ? {} : { displayname }),
      ...(avatarUrl === undefined ? {} : { avatar_url: avatarUrl }),
    }
  }

  /** The whole profile as JSON text, for a client (undefined: one without a session). Throws M_NOT_FOUND, M_FORBIDDEN, M_MISSING_TOKEN. */
  async getJson(requester: Requester | undefined, userId: UserId): Promise<string> {
    const fields = await this.#loadFor(requester, userId)
    if (fields.size === 0 && this.#isOurs(userId)) await this.#checkExists(userId)
    return `{${[...fields].map(([name, valueJson]) => `${JSON.stringify(name)}:${valueJson}`).join(',')}}`
  }

  /** One field in its object, as JSON text. Throws like `getJson`, and M_NOT_FOUND where the field is not set. */
  async getFieldJson(requester: Requester | undefined, userId: UserId, name: string): Promise<string> {
    checkFieldName(name)
    const valueJson = (await this.#loadFor(requester, userId, name)).get(name)
    if (valueJson === undefined) throw new MatrixError('M_NOT_FOUND', 'The profile has no such field')
    return `{${JSON.stringify(name)}:${valueJson}}`
  }

  /**
   * The profile, or one field of it, as JSON text, for another server; a field that is not set is left out.
   * Throws M_NOT_FOUND. Spec: server-server-api query.yaml, queryProfile.
   */
  async getJsonForServer(userId: UserId, name: string | undefined): Promise<string> {
    if (serverNameOf(userId) !== this.#deps.options.serverName) throw new MatrixError('M_NOT_FOUND', 'Profile not found')
    const fields = await this.#load(userId)
    if (fields.size === 0) await this.#checkExists(userId)
    const shown = [...fields].filter(([field]) => name === undefined || field === name)
    return `{${shown.map(([field, valueJson]) => `${JSON.stringify(field)}:${valueJson}`).join(',')}}`
  }

  #isOurs(userId: UserId): boolean {
    return serverNameOf(userId) === this.#deps.options.serverName
  }

  async #loadFor(requester: Requester | undefined, userId: UserId, field?: string): Promise<Fields> {
    const { requireAuth, limitToUsersWhoShareRooms } = this.#deps.options
    if (requester === undefined && (requireAuth || limitToUsersWhoShareRooms))
      throw new MatrixError('M_MISSING_TOKEN', 'Missing access token')
    if (requester !== undefined && limitToUsersWhoShareRooms && !requester.isAdmin) {
      const isVisible = await this.#deps.memberships.sharesRoom(requester.userId, userId)
      if (!isVisible) throw new MatrixError('M_FORBIDDEN', "Profile isn't available")
    }
    if (this.#isOurs(userId)) return this.#loadOrMake(userId)
    if (!this.#remote) throw new MatrixError('M_NOT_FOUND', 'Profile not found')
    const profile = await this.#remote.getProfile(userId, field)
    return new Map(Object.entries(profile).map(([name, value]) => [name, JSON.stringify(value)]))
  }

  async #loadOrMake(userId: UserId): Promise<Fields> {
    const fields = await this.#load(userId)
    if (fields.size > 0 || !this.#makesUser || (await getUser(this.#deps.database, userId))) return fields
    return (await this.#makesUser(userId)) ? this.#load(userId) : fields
  }

  async #checkExists(userId: UserId): Promise<void> {
    const user = await getUser(this.#deps.database, userId)
    if (!user || user.isDeactivated) throw new MatrixError('M_NOT_FOUND', 'Profile not found')
  }

  #load(userId: UserId): Promise<Fields> {
    const known = this.#cache.get(userId)
    if (known) return known
    const loading = getProfileFields(this.#deps.database, [userId]).then(
      (rows) => new Map(rows.map(({ name, valueJson }) => [name, valueJson])),
    )
    this.#cache.set(userId, loading)
    loading.catch(() => {
      if (this.#cache.peek(userId) === loading) this.#cache.delete(userId)
    })
    return loading
  }

  /** Sets a field of one's own profile, or as an administrator of anyone's. An empty name or avatar is taken away. */
  async setField(requester: Requester, userId: UserId, name: string, value: JsonValue): Promise<void> {
    await this.#checkMayChange(requester, userId, name)
    checkFieldValue(name, value)
    if (value === '' && isInMemberEvents(name)) return this.#deleteField(userId, name)
    if (name === 'avatar_url' && !(await this.#deps.avatarPolicy.isAllowedAvatar(String(value)))) {
      throw new MatrixError('M_FORBIDDEN', 'This avatar is not allowed')
    }
    const isChanged = await this.#write(userId, name, value)
    if (isChanged && isInMemberEvents(name)) await this.#propagate(userId)
  }

  /** Takes a field away. Idempotent. */
  async deleteField(requester: Requester, userId: UserId, name: string): Promise<void> {
    await this.#checkMayChange(requester, userId, name)
    await this.#deleteField(userId, name)
  }

  async #deleteField(userId: UserId, name: string): Promise<void> {
    if (!(await this.#load(userId)).has(name)) return
    await this.#delete(userId, [name])
    if (isInMemberEvents(name)) await this.#propagate(userId)
  }

  async #checkMayChange(requester: Requester, userId: UserId, name: string): Promise<void> {
    checkFieldName(name)
    if (requester.userId !== userId && !requester.isAdmin)
      throw new MatrixError('M_FORBIDDEN', "Cannot change another user's profile")
    if (requester.isGuest && name !== 'displayname') throw new MatrixError('M_GUEST_ACCESS_FORBIDDEN', 'Guest access not allowed')
    if (requester.isSuspended)
      throw new MatrixError('M_USER_SUSPENDED', 'Updating profile while account is suspended is not allowed.')
    if (serverNameOf(userId) !== this.#deps.options.serverName)
      throw new MatrixError('M_FORBIDDEN', 'User is not hosted on this homeserver')
    if (requester.userId !== userId) await this.#checkExists(userId)
    if (requester.isAdmin) return
    const { enableSetDisplayname, enableSetAvatarUrl } = this.#deps.options
    const isFrozen = (name === 'displayname' && !enableSetDisplayname) || (name === 'avatar_url' && !enableSetAvatarUrl)
    // The first one may always be set (Synapse's rule).
    if (isFrozen && (await this.#load(userId)).has(name))
      throw new MatrixError('M_FORBIDDEN', `Changing ${name} is disabled on this server`)
  }

  /** Returns false where the field has this value already. */
  async #write(userId: UserId, name: string, value: JsonValue): Promise<boolean> {
    const valueJson = JSON.stringify(value)
    if ((await this.#load(userId)).get(name) === valueJson) return false
    const { result: isWritten } = await this.#deps.committer.commit({
      count: 1,
      write: (tx, index) => upsertProfileField(tx, index, { userId, name, valueJson, bytesMax: PROFILE_BYTES_MAX }),
      rows: (isStored) => (isStored ? [{ userId, field: name }] : []),
    })
    if (!isWritten) throw new MatrixError('M_PROFILE_TOO_LARGE', `The profile would exceed ${PROFILE_BYTES_MAX} bytes`)
    return true
  }

  async #delete(userId: UserId, names: readonly string[]): Promise<void> {
    await this.#deps.committer.commit({
      count: names.length,
      write: (tx, index) => deleteProfileFields(tx, index, { userId, names }),
      rows: () => names.map((field) => ({ userId, field })),
    })
  }

  async #propagate(userId: UserId): Promise<void> {
    await this.#propagator?.propagate(userId, await this.getNameAndAvatar(userId))
  }
}

function isInMemberEvents(name: string): boolean {
  return name === 'displayname' || name === 'avatar_url'
}

function textField(fields: Fields, name: string): string | undefined {
  const valueJson = fields.get(name)
  const value: unknown = valueJson === undefined ? undefined : JSON.parse(valueJson)
  return typeof value === 'string' ? value : undefined
}
