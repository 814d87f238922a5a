import { parseUserId } from '../../protocol/ids.ts'
import { Type } from '../../util/schema.ts'
import { clientEndpoint } from '../client/client-endpoint.ts'

const LOCK_PATH = '/_matrix/client/v1/admin/lock/:userId'
const SUSPEND_PATH = '/_matrix/client/v1/admin/suspend/:userId'
const params = Type.Object({ userId: Type.String() })

/** Tells whether an account is locked. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. Spec: admin.yaml. */
export const getAdminLockUser = clientEndpoint({
  operationId: 'getAdminLockUser',
  method: 'GET',
  path: LOCK_PATH,
  group: 'admin',
  auth: 'admin',
  params,
  async handler({ params: { userId } }, context) {
    return { locked: (await context.accounts.getForModeration(parseUserId(userId))).isLocked }
  },
})

/** Locks an account or unlocks it. Idempotent. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. Spec: admin.yaml. */
export const setAdminLockUser = clientEndpoint({
  operationId: 'setAdminLockUser',
  method: 'PUT',
  path: LOCK_PATH,
  group: 'admin',
  auth: 'admin',
  params,
  body: Type.Object({ locked: Type.Boolean() }),
  async handler({ params: { userId }, body, requester }, context) {
    await context.accounts.moderate(requester, parseUserId(userId), { isLocked: body.locked })
    return { locked: body.locked }
  },
})

/** Tells whether an account is suspended. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. Spec: admin.yaml. */
export const getAdminSuspendUser = clientEndpoint({
  operationId: 'getAdminSuspendUser',
  method: 'GET',
  path: SUSPEND_PATH,
  group: 'admin',
  auth: 'admin',
  params,
  async handler({ params: { userId } }, context) {
    return { suspended: (await context.accounts.getForModeration(parseUserId(userId))).isSuspended }
  },
})

/**
 * Suspends an account or ends the suspension. Idempotent. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM. Spec:
 * admin.yaml.
 */
export const setAdminSuspendUser = clientEndpoint({
  operationId: 'setAdminSuspendUser',
  method: 'PUT',
  path: SUSPEND_PATH,
  group: 'admin',
  auth: 'admin',
  params,
  body: Type.Object({ suspended: Type.Boolean() }),
  async handler({ params: { userId }, body, requester }, context) {
    await context.accounts.moderate(requester, parseUserId(userId), { isSuspended: body.suspended })
    return { suspended: body.suspended }
  },
})
