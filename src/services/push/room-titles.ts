import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getMemberEvents, getTypesAsOf } from '../../storage/tables/sync-state.ts'
import { stateRecordToEvent } from '../events/state-records.ts'
import type { Memberships } from '../rooms/memberships.ts'
import { NOW } from '../rooms/reading/room-slots.ts'

const TYPES = ['m.room.name', 'm.room.canonical_alias', 'm.room.avatar', 'm.room.create']
const OTHERS_NAMED_MAX = 2

/** What a room is called, for one of its members. */
export interface RoomTitle {
  /** Its name or alias; undefined where it has none. */
  readonly name: string | undefined
  /** The name, or who else is in it. */
  readonly title: string
  readonly avatarUrl: string | undefined
  readonly isSpace: boolean
}

/** What a user is called in a room, and how shown. */
export interface PersonInRoom {
  readonly name: string
  readonly avatarUrl: string | undefined
}

/** Finds out what rooms and people are called in mails. Spec: client-server-api § Calculating the display name for a room. */
export class RoomTitles {
  readonly #database: Database
  readonly #memberships: Memberships

  constructor(deps: { database: Database; memberships: Memberships }) {
    this.#database = deps.database
    this.#memberships = deps.memberships
  }

  async get(roomId: RoomId, userId: UserId): Promise<RoomTitle> {
    const records = await getTypesAsOf(this.#database, { rooms: [{ roomId, position: NOW }], types: TYPES })
    const state = new Map(records.map((record) => [record.type, stateRecordToEvent(record).content]))
    const name = textOf(state.get('m.room.name')?.['name']) ?? textOf(state.get('m.room.canonical_alias')?.['alias'])
    return {
      name,
      title: name ?? (await this.#nameMembers(roomId, userId)),
      avatarUrl: textOf(state.get('m.room.avatar')?.['url']),
      isSpace: state.get('m.room.create')?.['type'] === 'm.space',
    }
  }

  async #nameMembers(roomId: RoomId, userId: UserId): Promise<string> {
    const members = await this.#memberships.getOfRoom(roomId)
    const others = [...members].flatMap(([id, membership]) =>
      id !== userId && (membership === 'join' || membership === 'invite') ? [id] : [],
    )
    if (others.length === 0) return 'Empty Room'
    const people = await this.getPeople(roomId, others.slice(0, OTHERS_NAMED_MAX))
    return describePeople(
      [...people.values()].map((person) => person.name),
      others.length,
    )
  }

  /** What users are called in a room, in the given order. */
  async getPeople(roomId: RoomId, userIds: readonly UserId[]): Promise<Map<UserId, PersonInRoom>> {
    const records = await getMemberEvents(
      this.#database,
      userIds.map((userId) => ({ roomId, userId })),
    )
    const contents = new Map(records.map((record) => [record.stateKey, stateRecordToEvent(record).content]))
    return new Map(
      userIds.map((userId) => {
        const content = contents.get(userId)
        return [userId, { name: textOf(content?.['displayname']) ?? userId, avatarUrl: textOf(content?.['avatar_url']) }]
      }),
    )
  }
}

/** Names a few people: "Anna", "Anna and Bert", "Anna and 3 others". */
export function describePeople(names: readonly string[], count: number = names.length): string {
  const [first = 'nobody', second] = names
  if (count > 2) return `${first} and ${count - 1} others`
  return second === undefined ? first : `${first} and ${second}`
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value : undefined
}
