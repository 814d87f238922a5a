import type { RoomVersion } from './room-version.ts'
import { V3 } from './v3.ts'

/** Writes event ids in URL-safe base64. Spec: rooms/v4. */
export const V4: RoomVersion = {
  ...V3,
  id: '4',
  eventIdFormat: 4,
}
