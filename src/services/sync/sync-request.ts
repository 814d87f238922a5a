import type { Filter } from '../../protocol/filters/filter.ts'
import type { SyncToken } from '../../streams/sync-token.ts'
import type { Requester } from '../accounts/requester.ts'

/** One /sync, checked. */
export interface SyncRequest {
  readonly requester: Requester
  /** Undefined for an initial sync. */
  readonly since: SyncToken | undefined
  readonly filter: Filter
  readonly timeoutMs: number
  readonly isFullState: boolean
  /** MSC4222: the `state_after` section instead of `state`. */
  readonly usesStateAfter: boolean
  readonly setPresence: 'online' | 'offline' | 'unavailable'
  readonly signal: AbortSignal
}
