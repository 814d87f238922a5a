import type { RoomVersion } from './room-version.ts'
import { V4 } from './v4.ts'

/** Enforces the validity period of signing keys. Spec: rooms/v5. */
export const V5: RoomVersion = {
  ...V4,
  id: '5',
  enforcesSigningKeyValidity: true,
}
