import type { BuiltEvent } from '../../protocol/events/event-builder.ts'
import type { RoomId, ServerName } from '../../protocol/ids.ts'
import type { SigningKey } from '../../protocol/signing-key.ts'
import type { Clock } from '../../util/clock.ts'
import type { Random } from '../../util/random.ts'
import { buildNextEvent } from './event-building.ts'
import type { EventIntent } from './event-intent.ts'
import type { RoomModels } from './room-models.ts'

/** Builds events that are not appended as yet: another server must sign them first. For the owners of rooms. */
export class EventDrafts {
  readonly #deps: {
    readonly models: RoomModels
    readonly clock: Clock
    readonly random: Random
    readonly serverName: ServerName
    readonly signingKey: SigningKey
  }

  constructor(deps: { models: RoomModels; clock: Clock; random: Random; serverName: ServerName; signingKey: SigningKey }) {
    this.#deps = deps
  }

  /** Builds, signs and authorises what would be the room's next event. Throws M_FORBIDDEN, M_NOT_FOUND. */
  async draftEvent({ roomId, intent }: { readonly roomId: RoomId; readonly intent: EventIntent }): Promise<BuiltEvent> {
    const { models, clock, random, serverName, signingKey } = this.#deps
    const model = await models.get(roomId)
    return buildNextEvent(model, intent, { serverName, signingKey, random, nowMs: clock.nowMs(), eventNid: 0 })
  }
}
