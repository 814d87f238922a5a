import { MatrixError } from '../../protocol/errors.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import type { Memberships } from './memberships.ts'
import { toPublicRoom } from './public-rooms.ts'
import type { PublicRoom } from './public-rooms.ts'
import type { RoomCard, RoomCards } from './room-cards.ts'

/** The only algorithm that the specification lets a summary name. */
const MEGOLM = 'm.megolm.v1.aes-sha2'

/** What outsiders see of a room before they join. Spec: room_summary.yaml. */
export interface RoomSummary extends PublicRoom {
  readonly room_version: string
  readonly encryption?: string
  readonly allowed_room_ids?: readonly string[]
}

/** Summaries of rooms for those who are in them, may join or knock, or may read them. */
export class RoomPreviews {
  readonly #cards: RoomCards
  readonly #memberships: Memberships

  constructor(deps: { cards: RoomCards; memberships: Memberships }) {
    this.#cards = deps.cards
    this.#memberships = deps.memberships
  }

  /** Reads one summary; nobody in particular asks without a user id. Throws M_NOT_FOUND. */
  async get(roomId: RoomId, userId: UserId | undefined): Promise<RoomSummary & { readonly membership?: string }> {
    const summary = (await this.getVisible([roomId], userId)).get(roomId)
    if (!summary) throw new MatrixError('M_NOT_FOUND', 'Room not found')
    const membership = userId === undefined ? undefined : ((await this.#memberships.getMembership(userId, roomId)) ?? 'leave')
    return { ...summary, ...(membership === undefined ? {} : { membership }) }
  }

  /** Reads the summaries of those rooms that the user may see. Spec: space_hierarchy.yaml. */
  async getVisible(roomIds: readonly RoomId[], userId: UserId | undefined): Promise<Map<RoomId, RoomSummary>> {
    const [cards, memberships] = await Promise.all([
      this.#cards.get(roomIds),
      userId === undefined ? new Map<RoomId, { membership: string }>() : this.#memberships.getOfUser(userId),
    ])
    return this.#summarize([...cards.values()].filter((card) => canSee(card, memberships)))
  }

  /** Reads the summaries of all of the rooms that we know, for administrators. */
  async getAll(roomIds: readonly RoomId[]): Promise<Map<RoomId, RoomSummary>> {
    return this.#summarize([...(await this.#cards.get(roomIds)).values()])
  }

  /**
   * Reads the summaries of those rooms that somebody of another server could join, knock on or read. Rooms that we do not know
   * are in neither list. Spec: server-server-api space_hierarchy.yaml.
   */
  async getVisibleToServer(
    roomIds: readonly RoomId[],
    server: {
      isInOrInvited(roomId: RoomId): Promise<boolean>
    },
  ): Promise<{ readonly visible: Map<RoomId, RoomSummary>; readonly hidden: readonly RoomId[] }> {
    const cards = await this.#cards.get(roomIds)
    const verdicts = await Promise.all(
      [...cards.values()].map(async (card) => ({ card, isVisible: await canServerSee(card, server) })),
    )
    const visible = await this.#summarize(verdicts.filter(({ isVisible }) => isVisible).map(({ card }) => card))
    return { visible, hidden: verdicts.filter(({ isVisible }) => !isVisible).map(({ card }) => card.roomId) }
  }

  /**
   * Of rooms that nobody here is in, as another server describes them, gives those that the user may see. That server looked at what
   * ours may see, not at who asks. Behaviour of Synapse.
   */
  async getVisibleOfRemote(rooms: readonly JsonObject[], userId: UserId): Promise<Map<RoomId, RoomSummary>> {
    const memberships = await this.#memberships.getOfUser(userId)
    return new Map(
      rooms.flatMap((room) => {
        const found = readRemoteSummary(room)
        return found && canSee(found.card, memberships) ? [[found.card.roomId, found.summary] as const] : []
      }),
    )
  }

  /** Those of the rooms that this server knows by itself. */
  async getKnown(roomIds: readonly RoomId[]): Promise<ReadonlySet<RoomId>> {
    return new Set((await this.#cards.get(roomIds)).keys())
  }

  async #summarize(cards: readonly RoomCard[]): Promise<Map<RoomId, RoomSummary>> {
    const counts = await this.#cards.getJoinedCounts(cards.map((card) => card.roomId))
    return new Map(cards.map((card) => [card.roomId, toSummary(card, counts.get(card.roomId) ?? 0)]))
  }
}

/** Behaviour of Synapse: a room shows itself to servers with members or invited users in it, or in a room that lets them in. */
async function canServerSee(card: RoomCard, server: { isInOrInvited(roomId: RoomId): Promise<boolean> }): Promise<boolean> {
  if (canSee(card, new Map())) return true
  for (const roomId of [card.roomId, ...card.allowedRoomIds]) if (await server.isInOrInvited(roomId)) return true
  return false
}

/** What decides whether a room may be seen. */
type VisibilityOfRoom = Pick<RoomCard, 'roomId' | 'isWorldReadable' | 'roomVersion' | 'joinRule' | 'allowedRoomIds'>

const TEXTS = ['name', 'topic', 'canonical_alias', 'avatar_url', 'room_type', 'join_rule', 'encryption'] as const

/** Takes from another server's summary what has the right type; undefined where something is missing without which it is none. */
function readRemoteSummary(room: JsonObject): { readonly card: VisibilityOfRoom; readonly summary: RoomSummary } | undefined {
  const {
    room_id: roomId,
    num_joined_members: joinedCount,
    world_readable: isWorldReadable,
    guest_can_join: canGuestsJoin,
  } = room
  if (typeof roomId !== 'string' || typeof joinedCount !== 'number') return undefined
  const texts = TEXTS.flatMap((key) => (typeof room[key] === 'string' ? [[key, room[key]] as const] : []))
  const allowed = Array.isArray(room['allowed_room_ids']) ? room['allowed_room_ids'] : []
  const allowedRoomIds = allowed.filter((id): id is RoomId => typeof id === 'string')
  const { join_rule: joinRule = 'public', encryption, ...rest } = Object.fromEntries(texts)
  // Servers do not have to say the version: one that has all join rules then.
  const roomVersion = typeof room['room_version'] === 'string' ? room['room_version'] : '11'
  return {
    card: { roomId: roomId as RoomId, joinRule, roomVersion, allowedRoomIds, isWorldReadable: isWorldReadable === true },
    summary: {
      room_id: roomId,
      num_joined_members: joinedCount,
      world_readable: isWorldReadable === true,
      guest_can_join: canGuestsJoin === true,
      join_rule: joinRule,
      ...rest,
      room_version: roomVersion,
      ...(encryption === MEGOLM ? { encryption } : {}),
      ...(allowedRoomIds.length === 0 ? {} : { allowed_room_ids: allowedRoomIds }),
    },
  }
}

function canSee(card: VisibilityOfRoom, memberships: ReadonlyMap<RoomId, { readonly membership: string }>): boolean {
  const membership = memberships.get(card.roomId)?.membership
  if (card.isWorldReadable || membership === 'join' || membership === 'invite') return true
  const version = getRoomVersion(card.roomVersion)
  if (membership === 'ban' || !version) return false
  const isMemberOfAllowed = (): boolean => card.allowedRoomIds.some((roomId) => memberships.get(roomId)?.membership === 'join')
  switch (card.joinRule) {
    case 'public':
      return true
    case 'knock':
      return version.hasKnock
    case 'knock_restricted':
      return version.hasKnockRestricted
    case 'restricted':
      return version.hasRestrictedJoin && isMemberOfAllowed()
    default:
      return false
  }
}

function toSummary(card: RoomCard, joinedCount: number): RoomSummary {
  return {
    ...toPublicRoom(card, joinedCount),
    room_version: card.roomVersion,
    ...(card.encryption === MEGOLM ? { encryption: card.encryption } : {}),
    ...(card.allowedRoomIds.length === 0 ? {} : { allowed_room_ids: card.allowedRoomIds }),
  }
}
