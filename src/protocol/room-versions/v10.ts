import type { RoomVersion } from './room-version.ts'
import { V9 } from './v9.ts'

/** Demands integer power levels, adds the join rule knock_restricted. Spec: rooms/v10. */
export const V10: RoomVersion = {
  ...V9,
  id: '10',
  hasKnockRestricted: true,
  integerPowerLevels: true,
}
