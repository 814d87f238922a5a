import type { RoomVersion } from './room-version.ts'
import { V10 } from './v10.ts'

/** Updates the redaction rules, the sender of the create event is the creator. Spec: rooms/v11. */
export const V11: RoomVersion = {
  ...V10,
  id: '11',
  updatedRedactionRules: true,
  limitsFieldBytes: true,
  implicitRoomCreator: true,
}
