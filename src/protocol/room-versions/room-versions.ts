import type { RoomVersion } from './room-version.ts'
import { V1 } from './v1.ts'
import { V2 } from './v2.ts'
import { V3 } from './v3.ts'
import { V4 } from './v4.ts'
import { V5 } from './v5.ts'
import { V6 } from './v6.ts'
import { V7 } from './v7.ts'
import { V8 } from './v8.ts'
import { V9 } from './v9.ts'
import { V10 } from './v10.ts'
import { V11 } from './v11.ts'
import { V12 } from './v12.ts'

/** Every room version that this server speaks, oldest first. */
export const ROOM_VERSIONS: readonly RoomVersion[] = [V1, V2, V3, V4, V5, V6, V7, V8, V9, V10, V11, V12]

/** The version of a new room where neither client nor configuration names one. Spec: rooms/ § default room version. */
export const DEFAULT_ROOM_VERSION = '12'

const BY_ID: ReadonlyMap<string, RoomVersion> = new Map(ROOM_VERSIONS.map((version) => [version.id, version]))

/** Returns the switches of a room version, or undefined for one that we do not speak. */
export function getRoomVersion(id: string): RoomVersion | undefined {
  return BY_ID.get(id)
}
