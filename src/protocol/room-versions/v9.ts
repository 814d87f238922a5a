import type { RoomVersion } from './room-version.ts'
import { V8 } from './v8.ts'

/** Keeps the authorising user of a restricted join when redacting. Spec: rooms/v9. */
export const V9: RoomVersion = {
  ...V8,
  id: '9',
  redactionKeepsJoinAuthorised: true,
}
