import { serverNameOf } from '../../../protocol/ids.ts'
import type { ServerName, UserId } from '../../../protocol/ids.ts'
import type { ForeignEvent, ForeignEventsWriter } from '../../events/foreign-events.ts'
import type { Memberships } from '../../rooms/memberships.ts'

/** Events about our users in rooms that none of them is joined to: the end of an invite or a knock. All else there is nothing to us. */
export class OutsideEvents {
  readonly #memberships: Pick<Memberships, 'getOfUser'>
  readonly #writer: ForeignEventsWriter
  readonly #serverName: ServerName

  constructor(deps: { memberships: Pick<Memberships, 'getOfUser'>; writer: ForeignEventsWriter; serverName: ServerName }) {
    this.#memberships = deps.memberships
    this.#writer = deps.writer
    this.#serverName = deps.serverName
  }

  /** Tells whether the event takes back an invite, or answers a knock with a no. Its signatures were checked. */
  async concerns({ event }: ForeignEvent): Promise<boolean> {
    const { type, stateKey, sender, content, roomId } = event
    if (type !== 'm.room.member' || stateKey === undefined || serverNameOf(stateKey) !== this.#serverName) return false
    if (content['membership'] !== 'leave' && content['membership'] !== 'ban') return false
    const place = (await this.#memberships.getOfUser(stateKey as UserId)).get(roomId)
    if (!place || (place.membership !== 'invite' && place.membership !== 'knock')) return false
    // The room's rules cannot be asked here: who invited may take it back, nobody else. Who answers a knock knows it.
    return place.membership === 'invite' ? sender === place.sender : event.authEventIds.includes(place.eventId)
  }

  /** Sets the user's place by the event, if it concerns us. */
  async receive(foreign: ForeignEvent): Promise<void> {
    if (!(await this.concerns(foreign))) return
    const { roomId, roomVersion } = foreign.event
    await this.#writer.setOutsideMembership({ roomId, roomVersion, event: foreign })
  }
}
