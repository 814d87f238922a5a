import type { RoomVersion } from './room-version.ts'
import { V5 } from './v5.ts'

/** Enforces canonical JSON, drops the aliases rule, guards the notification levels. Spec: rooms/v6. */
export const V6: RoomVersion = {
  ...V5,
  id: '6',
  strictCanonicalJson: true,
  specialAliasesAuth: false,
  limitNotificationsPowerLevels: true,
}
