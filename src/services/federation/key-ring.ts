import type { KeyObject } from 'node:crypto'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { EventId, ServerName } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { RoomVersion } from '../../protocol/room-versions/room-version.ts'

/** Keys that are needed of one server. */
export interface KeyRequest {
  readonly serverName: ServerName
  readonly keyIds: readonly string[]
  /** The keys must be valid until then at least; 0 where room versions do not ask. */
  readonly minValidUntilTsMs: number
}

/** A key of another server. */
export interface ServerKey {
  readonly id: string
  readonly keyObject: KeyObject
  readonly validUntilTsMs: number
}

/** Finds other servers' keys and checks their signatures. */
export declare class KeyRing {
  /** Checks that the server signed the object. Throws M_UNAUTHORIZED. */
  verifyJson(serverName: ServerName, json: JsonObject, options: { readonly validAtTsMs: number }): Promise<void>
  /** Finds keys: by server name, then by key id. What was not found is left out. */
  getKeys(requests: readonly KeyRequest[]): Promise<ReadonlyMap<ServerName, ReadonlyMap<string, ServerKey>>>
  /** Checks the signatures that each event needs; by event id, what is wrong, or undefined. */
  verifyEventSignatures(
    events: readonly MatrixEvent[],
    roomVersion: RoomVersion,
  ): Promise<ReadonlyMap<EventId, Error | undefined>>
}
