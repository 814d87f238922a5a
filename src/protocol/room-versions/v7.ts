import type { RoomVersion } from './room-version.ts'
import { V6 } from './v6.ts'

/** Adds knocking. Spec: rooms/v7. */
export const V7: RoomVersion = {
  ...V6,
  id: '7',
  hasKnock: true,
}
