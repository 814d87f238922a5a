import type { RoomId } from '../../protocol/ids.ts'
import type { RequiredState } from './required-state.ts'

/** The stream was told up to the `pos`. */
export const LIVE = 0
/** Of the stream nothing was told. */
export const NEVER = -1

/**
 * What a client was told of a room. Each of the three streams is LIVE, NEVER, or told up to a position, where the room has not
 * been in the client's sight since.
 */
export interface RoomTold {
  /** The user's own, as last told. */
  readonly membership: string
  readonly events: number
  readonly receipts: number
  readonly accountData: number
  /** So many events of the timeline's end the client has. */
  readonly timelineLimit: number
  /** Of this state the client has all. */
  readonly required: RequiredState
  /** Lazily loaded members that the client knows as they are, the last told at the end. */
  readonly members: readonly string[]
}

/** What a client was told with one position. It never changes: an answer makes another one of it. */
export class ConnectionState {
  static readonly empty = new ConnectionState(new Map())
  readonly rooms: ReadonlyMap<RoomId, RoomTold>
  /** Rooms of which some stream is LIVE. */
  readonly live: ReadonlySet<RoomId>

  constructor(rooms: ReadonlyMap<RoomId, RoomTold>) {
    this.rooms = rooms
    const live = new Set<RoomId>()
    for (const [roomId, told] of rooms)
      if (told.events === LIVE || told.receipts === LIVE || told.accountData === LIVE) live.add(roomId)
    this.live = live
  }

  with(changes: ReadonlyMap<RoomId, RoomTold>): ConnectionState {
    const rooms = new Map(this.rooms)
    for (const [roomId, told] of changes) rooms.set(roomId, told)
    return new ConnectionState(rooms)
  }
}

/** Tells whether both say the same. */
export function isSameTold(one: RoomTold, other: RoomTold): boolean {
  return (
    one === other ||
    (one.membership === other.membership &&
      one.events === other.events &&
      one.receipts === other.receipts &&
      one.accountData === other.accountData &&
      one.timelineLimit === other.timelineLimit &&
      one.required === other.required &&
      (one.members === other.members ||
        (one.members.length === other.members.length && one.members.every((member, index) => member === other.members[index]))))
  )
}

/** Writes it for the database, the required state as its digest. */
export function encodeTold(told: RoomTold): string {
  const { membership, events, receipts, accountData, timelineLimit, required, members } = told
  return JSON.stringify([membership, events, receipts, accountData, timelineLimit, required.digest, members])
}

/** Reads what `encodeTold` wrote. */
export function decodeTold(text: string, requiredByDigest: (digest: string) => RequiredState): RoomTold {
  const [membership, events, receipts, accountData, timelineLimit, digest, members] = JSON.parse(text) as [
    string,
    number,
    number,
    number,
    number,
    string,
    string[],
  ]
  return { membership, events, receipts, accountData, timelineLimit, required: requiredByDigest(digest), members }
}
