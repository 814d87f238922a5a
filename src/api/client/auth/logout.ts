import { clientEndpoint } from '../client-endpoint.ts'

/** Ends this login: the token and its device with all keys. Works for locked accounts too. Spec: logout.yaml. */
export const logout = clientEndpoint({
  operationId: 'logout',
  method: 'POST',
  path: '/_matrix/client/v3/logout',
  group: 'login',
  auth: 'guest',
  isExpiredAllowed: true,
  isLockedAllowed: true,
  async handler({ requester }, context) {
    await context.sessions.logout(requester)
    return {}
  },
})

/** Ends all logins of the user. Works for locked accounts too. Spec: logout.yaml. */
export const logoutAll = clientEndpoint({
  operationId: 'logout_all',
  method: 'POST',
  path: '/_matrix/client/v3/logout/all',
  group: 'login',
  auth: 'guest',
  isExpiredAllowed: true,
  isLockedAllowed: true,
  async handler({ requester }, context) {
    await context.sessions.logoutAll(requester.userId)
    return {}
  },
})
