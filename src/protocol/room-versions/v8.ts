import type { RoomVersion } from './room-version.ts'
import { V7 } from './v7.ts'

/** Adds restricted joins. Spec: rooms/v8. */
export const V8: RoomVersion = {
  ...V7,
  id: '8',
  hasRestrictedJoin: true,
}
