import { clientEndpoint } from '../client-endpoint.ts'

/** Lists the account's e-mail addresses and phone numbers. Spec: administrative_contact.yaml. */
export const getAccount3PIDs = clientEndpoint({
  operationId: 'getAccount3PIDs',
  method: 'GET',
  path: '/_matrix/client/v3/account/3pid',
  group: 'account',
  auth: 'user',
  async handler({ requester }, context) {
    const threepids = await context.accounts.getThreepids(requester.userId)
    return {
      threepids: threepids.map(({ medium, address, validatedTsMs, addedTsMs }) => ({
        medium,
        address,
        validated_at: validatedTsMs,
        added_at: addedTsMs,
      })),
    }
  },
})
