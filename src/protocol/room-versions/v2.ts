import type { RoomVersion } from './room-version.ts'
import { V1 } from './v1.ts'

/** Changes the state resolution to v2. Spec: rooms/v2. */
export const V2: RoomVersion = {
  ...V1,
  id: '2',
  stateResolution: 'v2',
}
