import { MatrixError } from '../../protocol/errors.ts'
import type { RoomId } from '../../protocol/ids.ts'
import { formatSyncToken, parseSyncToken } from '../../streams/sync-token.ts'
import type { SyncToken } from '../../streams/sync-token.ts'
import type { Requester } from '../accounts/requester.ts'
import type { RequiredState } from './required-state.ts'

/** What is wanted of a room. */
export interface RoomConfig {
  readonly timelineLimit: number
  readonly required: RequiredState
}

/** Which rooms a list holds. An absent member asks for nothing. MSC4186. */
export interface ListFilters {
  readonly isDm?: boolean
  readonly spaces?: readonly string[]
  readonly isEncrypted?: boolean
  readonly isInvite?: boolean
  /** Null stands for rooms without a type. */
  readonly roomTypes?: readonly (string | null)[]
  readonly notRoomTypes?: readonly (string | null)[]
  readonly roomNameLike?: string
  readonly tags?: readonly string[]
  readonly notTags?: readonly string[]
}

export interface ListRequest extends RoomConfig {
  /** First and last index, both inside; undefined for the whole list. */
  readonly ranges: readonly (readonly [number, number])[] | undefined
  readonly filters: ListFilters
}

/** Of which rooms an extension tells: `*` for all lists, or all rooms of the answer. */
export interface ExtensionScope {
  readonly lists: readonly string[]
  readonly rooms: readonly string[]
}

/** The extensions that are switched on. */
export interface ExtensionsRequest {
  readonly toDevice: { readonly since: number | undefined; readonly limit: number } | undefined
  readonly hasE2ee: boolean
  readonly accountData: ExtensionScope | undefined
  readonly receipts: ExtensionScope | undefined
  readonly typing: ExtensionScope | undefined
}

/** One request of sliding sync, checked. */
export interface SlidingRequest {
  readonly requester: Requester
  /** Undefined for the first of a connection. */
  readonly pos: SlidingPosition | undefined
  readonly connId: string
  readonly timeoutMs: number
  readonly lists: ReadonlyMap<string, ListRequest>
  readonly subscriptions: ReadonlyMap<RoomId, RoomConfig>
  readonly extensions: ExtensionsRequest
  readonly txnId: string | undefined
  readonly signal: AbortSignal
}

/** What a `pos` says: which stored position of the connection (0: none, nothing was told yet), and how far each stream was told. */
export interface SlidingPosition {
  readonly position: number
  readonly token: SyncToken
}

const POSITION = /^[0-9]{1,15}$/

/** Writes a `pos`. */
export function formatPos({ position, token }: SlidingPosition): string {
  return `${position}/${formatSyncToken(token)}`
}

/** Reads a `pos`. Throws M_UNKNOWN_POS for anything that we did not write: the client begins anew. */
export function parsePos(text: string): SlidingPosition {
  const slash = text.indexOf('/')
  const position = slash === -1 ? '' : text.slice(0, slash)
  if (!POSITION.test(position)) throw unknownPosition()
  try {
    return { position: Number(position), token: parseSyncToken(text.slice(slash + 1)) }
  } catch (error) {
    throw error instanceof MatrixError ? unknownPosition() : error
  }
}

/** The connection has no such position (any more): the client must begin anew. MSC4186. */
export function unknownPosition(): MatrixError {
  return new MatrixError('M_UNKNOWN_POS', 'Unknown position')
}
