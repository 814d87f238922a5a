import { isJsonObject } from '../../protocol/json.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { Database } from '../../storage/database.ts'
import { getOutsideMemberEvents, getOutsideRoomStates } from '../../storage/tables/outside-rooms.ts'
import { getMembershipsAsOf, getTypesAsOf } from '../../storage/tables/sync-state.ts'
import { stateRecordToStrippedJson } from '../events/state-records.ts'
import { factsOf } from './room-facts.ts'
import type { RoomFacts } from './room-facts.ts'
import type { RoomPlan } from './room-plan.ts'

/** Gives what is seen of rooms by who is not in them: stripped state, names and avatars as of the user's own membership. */
export class StrippedRooms {
  readonly #database: Database
  readonly #types: readonly string[]

  constructor(deps: { database: Database; strippedTypes: readonly string[] }) {
    this.#database = deps.database
    this.#types = deps.strippedTypes
  }

  /** The JSON texts of `invite_state`, the user's own membership last. Of rooms elsewhere, what came with the invite. */
  async get(plans: readonly RoomPlan[], userId: UserId): Promise<Map<RoomId, string[]>> {
    if (plans.length === 0) return new Map()
    const rooms = plans.map(({ roomId, end: position }) => ({ roomId, position }))
    const [state, inside, elsewhere, outside] = await Promise.all([
      getTypesAsOf(this.#database, { rooms, types: this.#types }),
      getMembershipsAsOf(this.#database, { rooms, userId }),
      getOutsideMemberEvents(this.#database, { userId, rooms }),
      getOutsideRoomStates(this.#database, { userId, roomIds: rooms.map(({ roomId }) => roomId) }),
    ])
    const stateByRoom = Map.groupBy(state, (record) => record.roomId)
    const ownByRoom = new Map([...inside, ...elsewhere].map((record) => [record.roomId, record]))
    const outsideByRoom = new Map(outside.map((one) => [one.roomId, one]))
    return new Map(
      plans.map(({ roomId, place }) => {
        const given = outsideByRoom.get(roomId)
        const texts =
          given && given.eventId === place?.eventId
            ? readTexts(given.stateJson, userId)
            : (stateByRoom.get(roomId) ?? []).map(stateRecordToStrippedJson)
        const own = ownByRoom.get(roomId)
        return [roomId, own ? [...texts, stateRecordToStrippedJson(own)] : texts]
      }),
    )
  }

  /** Name and avatar. */
  async getFacts(plans: readonly RoomPlan[]): Promise<Map<RoomId, RoomFacts>> {
    if (plans.length === 0) return new Map()
    const records = await getTypesAsOf(this.#database, {
      rooms: plans.map(({ roomId, end: position }) => ({ roomId, position })),
      types: ['m.room.name', 'm.room.avatar'],
    })
    const byRoom = Map.groupBy(records, (record) => record.roomId)
    return new Map(plans.map(({ roomId }) => [roomId, factsOf(byRoom.get(roomId) ?? [], 0)]))
  }
}

/** The user's own membership comes from the database. */
function readTexts(stateJson: string, userId: UserId): string[] {
  const events: unknown = JSON.parse(stateJson)
  return (Array.isArray(events) ? events : [])
    .filter((event) => isJsonObject(event) && !(event['type'] === 'm.room.member' && event['state_key'] === userId))
    .map((event) => JSON.stringify(event))
}
