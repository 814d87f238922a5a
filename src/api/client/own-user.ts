import { MatrixError } from '../../protocol/errors.ts'
import { parseUserId } from '../../protocol/ids.ts'
import type { UserId } from '../../protocol/ids.ts'
import type { Requester } from '../../services/accounts/requester.ts'

/** The user that a path names, who must be the one who asks. Throws M_INVALID_PARAM, M_FORBIDDEN. */
export function parseOwnUserId(userId: string, requester: Requester): UserId {
  if (userId === requester.userId) return requester.userId
  parseUserId(userId)
  throw new MatrixError('M_FORBIDDEN', 'This belongs to another user')
}
