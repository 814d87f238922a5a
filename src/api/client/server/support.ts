import { MatrixError } from '../../../protocol/errors.ts'
import { isValidUserId } from '../../../protocol/ids.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** Tells how to reach the administrator, from `admin_contact`. Errors: M_NOT_FOUND. Spec: support.yaml. */
export const getWellknownSupport = clientEndpoint({
  operationId: 'getWellknownSupport',
  method: 'GET',
  path: '/.well-known/matrix/support',
  group: 'server',
  auth: 'none',
  async handler(_input, { config }) {
    const contact = config.server.adminContact
    if (contact === undefined) throw new MatrixError('M_NOT_FOUND', 'No support information available')
    if (/^https?:\/\//.test(contact)) return { support_page: contact }
    const address = contact.replace(/^mailto:/, '')
    const way = isValidUserId(address)
      ? { matrix_id: address }
      : /^[^@\s]+@[^@\s]+$/.test(address)
        ? { email_address: address }
        : undefined
    if (!way) throw new MatrixError('M_NOT_FOUND', 'No support information available')
    return { contacts: [{ ...way, role: 'm.role.admin' }] }
  },
})
