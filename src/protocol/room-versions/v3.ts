import type { RoomVersion } from './room-version.ts'
import { V2 } from './v2.ts'

/** Makes event ids hashes and moves redaction checks out of the auth rules. Spec: rooms/v3. */
export const V3: RoomVersion = {
  ...V2,
  id: '3',
  eventIdFormat: 3,
  redactionAuthRule: false,
}
