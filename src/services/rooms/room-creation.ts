import type { RateLimit, RateLimiter } from '../../http/rate-limiter.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { assertFieldSize } from '../../protocol/events/event-limits.ts'
import { isValidUserId, parseRoomAlias, parseUserId } from '../../protocol/ids.ts'
import type { RoomAlias, RoomId, ServerName, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import type { RoomVersion } from '../../protocol/room-versions/room-version.ts'
import type { Requester } from '../accounts/requester.ts'
import type { EventIntent, EventsWriter } from '../events/event-intent.ts'
import type { RemoteMemberships } from '../federation/remote/remote-memberships.ts'
import { checkStateContent } from '../events/state-content.ts'
import type { NameAndAvatar } from '../user-data/profiles.ts'
import type { RoomAliases } from './aliases.ts'
import type { RoomDirectory } from './directory.ts'
import type { InvitePolicy } from './invite-policy.ts'
import { newPowerLevels, presetState, putState, topicContent } from './room-creation-state.ts'
import type { RoomPreset, StateContents } from './room-creation-state.ts'
import type { Succession } from './settings-transfer.ts'

const INVITES_MAX = 1000

/** What a client wants its new room to be. Spec: create_room.yaml. */
export interface NewRoomRequest {
  readonly visibility?: 'public' | 'private' | undefined
  readonly aliasName?: string | undefined
  readonly name?: string | undefined
  readonly topic?: string | undefined
  readonly invite?: readonly string[] | undefined
  readonly roomVersion?: string | undefined
  readonly creationContent?: JsonObject | undefined
  readonly initialState?:
    | readonly { readonly type: string; readonly stateKey: string; readonly content: JsonObject }[]
    | undefined
  readonly preset?: RoomPreset | undefined
  readonly isDirect?: boolean | undefined
  readonly powerLevelContentOverride?: JsonObject | undefined
}

export interface RoomCreationDeps {
  readonly writer: EventsWriter
  readonly aliases: RoomAliases
  readonly directory: RoomDirectory
  readonly invites: InvitePolicy
  readonly remote: Pick<RemoteMemberships, 'isOurs' | 'invite'>
  readonly profiles: { getNameAndAvatar(userId: UserId): Promise<NameAndAvatar> }
  readonly rateLimiter: RateLimiter
  /** A user has made a room that names its predecessor. */
  readonly onSucceeded: (userId: UserId, succession: Succession) => void
  readonly options: {
    readonly serverName: ServerName
    readonly defaultRoomVersion: string
    readonly limit: RateLimit
    /** Option encryption_enabled_by_default_for_room_type. */
    readonly encryptedRooms: 'all' | 'invite' | 'off'
    /** Option default_power_level_content_override. */
    readonly powerLevelOverrides: Readonly<Record<string, unknown>>
    readonly showsInvitedProfile: boolean
  }
}

/** Makes rooms: all of a room's first events, the invites of our own users among them, are one commit. Spec: create_room.yaml. */
export class RoomCreation {
  readonly #deps: RoomCreationDeps

  constructor(deps: RoomCreationDeps) {
    this.#deps = deps
  }

  /**
   * Makes a room and returns its id. Throws M_UNSUPPORTED_ROOM_VERSION, M_ROOM_IN_USE, M_INVALID_ROOM_STATE, M_INVALID_PARAM,
   * M_BAD_JSON, M_FORBIDDEN, M_INVITE_BLOCKED, M_LIMIT_EXCEEDED.
   */
  async create(requester: Requester, request: NewRoomRequest): Promise<RoomId> {
    const { options, writer, directory, aliases } = this.#deps
    if (requester.isSuspended)
      throw new MatrixError('M_USER_SUSPENDED', 'Creating rooms while account is suspended is not allowed.')
    await this.limit(requester)
    const version = getRoomVersion(request.roomVersion ?? options.defaultRoomVersion)
    if (!version) throw new MatrixError('M_UNSUPPORTED_ROOM_VERSION', 'Your homeserver does not support this room version')
    const alias = await this.#checkAlias(requester, request.aliasName)
    const isPublic = request.visibility === 'public'
    if (isPublic && !requester.isAdmin)
      directory.assertMayPublish({ userId: requester.userId, aliases: alias === undefined ? [] : [alias] })
    const invited = parseInvited(requester, request.invite ?? [])
    await this.#deps.invites.check(requester, invited, undefined)
    const { remote } = this.#deps
    // Invites of who is shadow-banned reach nobody. As Synapse.
    const reached = requester.isShadowBanned ? [] : invited
    const ours = reached.filter((userId) => remote.isOurs(userId))
    const intents = [
      ...(await this.#founding(requester, request, { version, invited, alias })),
      ...(await this.#inviting(requester, ours, request.isDirect ?? false)),
    ]
    const roomId = await createRoom(writer, version, intents)
    if (alias !== undefined) await aliases.create({ alias, roomId, creator: requester.userId })
    if (isPublic) await directory.setVisibility({ roomId, isPublic, userId: requester.userId })
    for (const userId of reached) {
      if (remote.isOurs(userId)) continue
      const content = request.isDirect === true ? { is_direct: true } : {}
      await remote.invite({ roomId, sender: requester.userId, userId, content })
    }
    const predecessor = request.creationContent?.['predecessor']
    const from = isJsonObject(predecessor) ? predecessor['room_id'] : undefined
    if (typeof from === 'string') this.#deps.onSucceeded(requester.userId, { from: from as RoomId, to: roomId })
    return roomId
  }

  /** Counts a room against `rc_room_creation`. Throws M_LIMIT_EXCEEDED. */
  async limit(requester: Requester): Promise<void> {
    if (requester.isRateLimited)
      await this.#deps.rateLimiter.consume(`room_creation:${requester.userId}`, this.#deps.options.limit)
  }

  async #checkAlias(requester: Requester, name: string | undefined): Promise<RoomAlias | undefined> {
    if (name === undefined) return undefined
    if (name === '' || /[:\s]/.test(name)) throw new MatrixError('M_INVALID_PARAM', 'The local part of the alias is malformed')
    const alias = parseRoomAlias(`#${name}:${this.#deps.options.serverName}`)
    await this.#deps.aliases.assertMayCreate({ alias, userId: requester.userId, appserviceId: requester.appserviceId })
    return alias
  }

  /** Everything up to the invites. Spec: create_room.yaml, which gives the order. */
  async #founding(
    requester: Requester,
    request: NewRoomRequest,
    room: { readonly version: RoomVersion; readonly invited: readonly UserId[]; readonly alias: RoomAlias | undefined },
  ): Promise<EventIntent[]> {
    const sender = requester.userId
    const { version, invited, alias } = room
    const { options } = this.#deps
    const preset = request.preset ?? (request.visibility === 'public' ? 'public_chat' : 'private_chat')
    const trusted = preset === 'trusted_private_chat' ? invited : []
    const isEncrypted = options.encryptedRooms === 'all' || (options.encryptedRooms === 'invite' && preset !== 'public_chat')
    const state: StateContents = new Map()
    putState(state, 'm.room.power_levels', '', this.#powerLevels(requester, request, { version, preset, trusted }))
    if (alias !== undefined) putState(state, 'm.room.canonical_alias', '', { alias })
    for (const [key, entry] of presetState(preset, isEncrypted)) state.set(key, entry)
    for (const { type, stateKey, content } of request.initialState ?? []) {
      checkInitialState(type, stateKey)
      checkStateContent(type, stateKey, content, options.serverName)
      putState(state, type, stateKey, content)
    }
    if (request.name !== undefined) putState(state, 'm.room.name', '', { name: request.name })
    if (request.topic !== undefined) putState(state, 'm.room.topic', '', topicContent(request.topic))
    const profile = await this.#deps.profiles.getNameAndAvatar(sender)
    return [
      {
        type: 'm.room.create',
        sender,
        stateKey: '',
        content: createContent(version, sender, request.creationContent ?? {}, trusted),
      },
      { type: 'm.room.member', sender, stateKey: sender, content: { ...profile, membership: 'join' } },
      ...[...state.values()].map((entry) => ({ ...entry, sender })),
    ]
  }

  #powerLevels(
    requester: Requester,
    request: NewRoomRequest,
    room: { readonly version: RoomVersion; readonly preset: RoomPreset; readonly trusted: readonly UserId[] },
  ): JsonObject {
    const { version, preset } = room
    const byAdmin = this.#deps.options.powerLevelOverrides[preset]
    const override = request.powerLevelContentOverride ?? {}
    const content: JsonObject = {
      ...newPowerLevels({ ...room, creator: requester.userId }),
      ...((isJsonObject(byAdmin) ? byAdmin : {}) as JsonObject),
      ...override,
    }
    checkStateContent('m.room.power_levels', '', content, this.#deps.options.serverName)
    const { users } = override
    if (!version.privilegedCreators && isJsonObject(users) && !Object.hasOwn(users, requester.userId)) {
      throw new MatrixError('M_BAD_JSON', 'users in power_level_content_override does not name the creator of the room')
    }
    return content
  }

  async #inviting(requester: Requester, invited: readonly UserId[], isDirect: boolean): Promise<EventIntent[]> {
    const { options, profiles } = this.#deps
    const shown = options.showsInvitedProfile ? await Promise.all(invited.map((userId) => profiles.getNameAndAvatar(userId))) : []
    return invited.map((userId, index) => ({
      type: 'm.room.member',
      sender: requester.userId,
      stateKey: userId,
      content: { ...shown[index], membership: 'invite', ...(isDirect && { is_direct: true }) },
    }))
  }
}

/** Appends the first events of a room; what the auth rules refuse then is a contradiction in the request. */
export async function createRoom(writer: EventsWriter, version: RoomVersion, intents: readonly EventIntent[]): Promise<RoomId> {
  try {
    return (await writer.createRoom({ roomVersion: version.id, intents })).roomId
  } catch (error) {
    if (error instanceof MatrixError && error.errcode === 'M_FORBIDDEN')
      throw new MatrixError('M_INVALID_ROOM_STATE', error.message, { cause: error })
    throw error
  }
}

/** The content of the create event. Throws M_INVALID_PARAM. Spec: create_room.yaml, rooms/v12. */
export function createContent(version: RoomVersion, creator: UserId, wished: JsonObject, trusted: readonly UserId[]): JsonObject {
  const { creator: _creator, room_version: _version, additional_creators: additional, ...rest } = wished
  const base = { ...rest, room_version: version.id, ...(!version.implicitRoomCreator && { creator }) }
  if (!version.privilegedCreators) return additional === undefined ? base : { ...base, additional_creators: additional }
  const creators = [...new Set([...parseCreators(additional), ...trusted])].filter((userId) => userId !== creator)
  return creators.length === 0 ? base : { ...base, additional_creators: creators }
}

/** Reads `additional_creators`. Throws M_INVALID_PARAM. */
export function parseCreators(value: JsonValue | undefined): UserId[] {
  if (value === undefined) return []
  if (!Array.isArray(value) || !value.every(isValidUserId))
    throw new MatrixError('M_INVALID_PARAM', 'additional_creators is not a list of user IDs')
  return value
}

function parseInvited(requester: Requester, invite: readonly string[]): UserId[] {
  if (invite.length > INVITES_MAX) throw new MatrixError('M_INVALID_PARAM', `More than ${INVITES_MAX} invites at once`)
  return [...new Set(invite.map(parseUserId))].filter((userId) => userId !== requester.userId)
}

function checkInitialState(type: string, stateKey: string): void {
  assertFieldSize(type, 'type')
  assertFieldSize(stateKey, 'state_key')
  if (type === 'm.room.create' || type === 'm.room.member') {
    throw new MatrixError('M_INVALID_ROOM_STATE', `${type} cannot stand in initial_state`)
  }
}
