import type { RoomVersion } from './room-version.ts'
import { V11 } from './v11.ts'

/** Makes room ids hashes, gives creators infinite power, resolves state with v2.1. Spec: rooms/v12. */
export const V12: RoomVersion = {
  ...V11,
  id: '12',
  stateResolution: 'v2.1',
  hashRoomId: true,
  privilegedCreators: true,
}
