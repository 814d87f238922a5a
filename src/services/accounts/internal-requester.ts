import type { UserId } from '../../protocol/ids.ts'
import type { Requester } from './requester.ts'

/** Acts for a user of ours without a request: joining the welcome rooms, leaving rooms at deactivation. No rate limits. */
export function internalRequester(userId: UserId): Requester {
  return {
    userId,
    deviceId: undefined,
    accessTokenId: 0,
    isGuest: false,
    isAdmin: false,
    isSuspended: false,
    isShadowBanned: false,
    isRateLimited: false,
  }
}
