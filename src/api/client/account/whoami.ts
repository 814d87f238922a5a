import { clientEndpoint } from '../client-endpoint.ts'

/** Tells whose access token this is. Spec: whoami.yaml. */
export const getTokenOwner = clientEndpoint({
  operationId: 'getTokenOwner',
  method: 'GET',
  path: '/_matrix/client/v3/account/whoami',
  group: 'account',
  auth: 'guest',
  async handler({ requester }) {
    return {
      user_id: requester.userId,
      ...(requester.deviceId === undefined ? {} : { device_id: requester.deviceId }),
      is_guest: requester.isGuest,
    }
  },
})
