import type { BuiltEvent } from '../../../protocol/events/event-builder.ts'
import type { RoomId } from '../../../protocol/ids.ts'
import type { EventIntent } from '../../events/event-intent.ts'
import type { ForeignEventsWriter } from '../../events/foreign-events.ts'

/**
 * What joins, invites and backfill do to rooms, wherever the room's owner is. Settles when this process' streams have what was
 * appended.
 */
export interface RemoteRoomsWriter extends ForeignEventsWriter {
  /** Builds and signs what would be the room's next event, and does not append it. Throws M_FORBIDDEN, M_NOT_FOUND. */
  draftEvent(request: { readonly roomId: RoomId; readonly intent: EventIntent }): Promise<BuiltEvent>
}
