import type { RateLimit, RateLimiter } from '../../http/rate-limiter.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { parseUserId } from '../../protocol/ids.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import { parseThreepid } from '../../protocol/third-party-ids.ts'
import { parseIdServer } from '../accounts/identity-servers.ts'
import type { IdentityServers } from '../accounts/identity-servers.ts'
import type { Requester } from '../accounts/requester.ts'
import type { EventsWriter } from '../events/event-intent.ts'
import type { NameAndAvatar } from '../user-data/profiles.ts'
import type { MembershipChanges } from './membership-changes.ts'
import type { Memberships } from './memberships.ts'
import type { RoomSlots } from './reading/room-slots.ts'

const TOKEN_CHARS_MAX = 255
const KEYS_MAX = 10
/** What identity servers are told of a room, for their mails: parameter, event type, field. Spec: identity-service-api § store-invite. */
const ROOM_FIELDS = [
  ['room_name', 'm.room.name', 'name'],
  ['room_alias', 'm.room.canonical_alias', 'alias'],
  ['room_avatar_url', 'm.room.avatar', 'url'],
  ['room_join_rules', 'm.room.join_rules', 'join_rule'],
  ['room_type', 'm.room.create', 'type'],
] as const

/** An invite to whoever owns an address. */
export interface ThreepidInvitation {
  readonly medium: string
  readonly address: string
  readonly idServer: string
  readonly idAccessToken: string
}

interface ThreepidInvitationsDeps {
  readonly identityServers: IdentityServers
  readonly changes: MembershipChanges
  readonly memberships: Memberships
  readonly slots: RoomSlots
  readonly profiles: { getNameAndAvatar(userId: UserId): Promise<NameAndAvatar> }
  readonly writer: EventsWriter
  readonly rateLimiter: RateLimiter
  readonly options: {
    /** Option `enable_3pid_lookup`. */
    readonly isEnabled: boolean
    readonly limit: RateLimit
    /** Option `email.invite_client_location`. */
    readonly clientLocation: string | undefined
  }
}

/**
 * Invites by e-mail address or phone number: the identity server that the client names says whose it is, or keeps the invite for who
 * will own the address. Spec: third_party_membership.yaml, client-server-api § Third-party invites.
 */
export class ThreepidInvitations {
  readonly #deps: ThreepidInvitationsDeps

  constructor(deps: ThreepidInvitationsDeps) {
    this.#deps = deps
  }

  /** Reads what a client sends. Throws M_MISSING_PARAM, M_INVALID_PARAM. */
  parse(body: Readonly<Record<string, unknown>>): ThreepidInvitation {
    const read = (name: string): string => {
      const value = body[name]
      if (typeof value !== 'string') throw new MatrixError('M_MISSING_PARAM', `Missing parameter: ${name}`)
      return value
    }
    const medium = read('medium')
    return {
      medium,
      address: parseThreepid(medium, read('address')),
      idServer: parseIdServer(read('id_server')),
      idAccessToken: read('id_access_token'),
    }
  }

  /** Throws M_FORBIDDEN, M_LIMIT_EXCEEDED, and what the identity server says. */
  async invite(requester: Requester, roomId: RoomId, invitation: ThreepidInvitation, content: JsonObject = {}): Promise<void> {
    const { identityServers, changes, rateLimiter, options } = this.#deps
    if (!options.isEnabled) throw new MatrixError('M_FORBIDDEN', 'Looking up addresses is not allowed on this server')
    if (requester.isSuspended) throw new MatrixError('M_USER_SUSPENDED', 'Inviting while account is suspended is not allowed.')
    if ((await this.#deps.memberships.getMembership(requester.userId, roomId)) !== 'join')
      throw new MatrixError('M_FORBIDDEN', 'You are not in the room')
    if (requester.isRateLimited) await rateLimiter.consume(`third_party_invite:${requester.userId}`, options.limit)
    const owner = await identityServers.lookup(invitation, invitation)
    if (owner !== undefined) await changes.invite(requester, { roomId, userId: parseUserId(owner), content })
    else await this.#leaveInvite(requester.userId, roomId, invitation)
  }

  async #leaveInvite(sender: UserId, roomId: RoomId, invitation: ThreepidInvitation): Promise<void> {
    const { identityServers, slots, profiles, writer, options } = this.#deps
    const [state, profile] = await Promise.all([
      slots.get(
        roomId,
        ROOM_FIELDS.map(([, type]) => ({ type, stateKey: '' })),
      ),
      profiles.getNameAndAvatar(sender),
    ])
    const ofRoom = ROOM_FIELDS.map(([name, type, field]) => [name, state(type, '')?.content[field]] as const)
    const stored = await identityServers.storeInvite(invitation, {
      medium: invitation.medium,
      address: invitation.address,
      room_id: roomId,
      sender,
      ...Object.fromEntries(ofRoom.filter((entry): entry is [(typeof entry)[0], string] => typeof entry[1] === 'string')),
      ...(profile.displayname === undefined ? {} : { sender_display_name: profile.displayname }),
      ...(profile.avatar_url === undefined ? {} : { sender_avatar_url: profile.avatar_url }),
      ...(options.clientLocation === undefined ? {} : { 'org.matrix.web_client_location': options.clientLocation }),
    })
    const { token, content } = readStored(stored)
    await writer.append({ roomId, intents: [{ type: 'm.room.third_party_invite', sender, stateKey: token, content }] })
  }
}

/** The event that keeps the invite open. Its keys say who may tell whose the address is. */
function readStored(stored: JsonObject): { token: string; content: JsonObject } {
  const { token, public_keys: keys, display_name: displayName } = stored
  const usable = Array.isArray(keys) ? keys.slice(0, KEYS_MAX).flatMap(readKey) : []
  const [first] = usable
  if (typeof token !== 'string' || token === '' || token.length > TOKEN_CHARS_MAX || typeof displayName !== 'string' || !first)
    throw new MatrixError('M_UNKNOWN', 'The identity server answered what we do not understand', { status: 502 })
  return { token, content: { display_name: displayName, ...first, public_keys: usable } }
}

function readKey(key: JsonValue): { public_key: string; key_validity_url: string }[] {
  if (!isJsonObject(key)) return []
  const { public_key: publicKey, key_validity_url: url } = key
  return typeof publicKey === 'string' && typeof url === 'string' ? [{ public_key: publicKey, key_validity_url: url }] : []
}
