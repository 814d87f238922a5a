import { OwnResponse } from '../../http/endpoint.ts'
import { readForm } from '../../http/form.ts'
import { htmlPage } from '../../http/html-page.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { parseLanguages } from '../../templates/template-renderer.ts'
import { Type } from '../../util/schema.ts'
import { clientEndpoint } from '../client/client-endpoint.ts'

const PATH = '/_matrix/consent'

/** Shows the policy; to who comes by a link of ours, with a button to agree. Errors: M_NOT_FOUND, M_FORBIDDEN. Source: Synapse docs/consent_tracking.md. */
export const showPolicy = clientEndpoint({
  operationId: 'showPolicy',
  method: 'GET',
  path: PATH,
  resource: 'consent',
  group: 'other',
  auth: 'none',
  query: Type.Object({
    v: Type.Optional(Type.String()),
    u: Type.Optional(Type.String()),
    h: Type.Optional(Type.String()),
  }),
  async handler({ query, request }, { consents }) {
    const asked = {
      ...(query.v === undefined ? {} : { version: query.v }),
      ...(query.u === undefined ? {} : { user: query.u }),
      ...(query.h === undefined ? {} : { signature: query.h }),
    }
    return new OwnResponse(htmlPage(await consents.show(asked, parseLanguages(request.headers['accept-language']))))
  },
})

/** Notes that somebody agrees. Errors: M_MISSING_PARAM, M_FORBIDDEN, M_NOT_FOUND. */
export const agreeToPolicy = clientEndpoint({
  operationId: 'agreeToPolicy',
  method: 'POST',
  path: PATH,
  resource: 'consent',
  group: 'other',
  auth: 'none',
  async handler({ request }, { consents }) {
    const form = await readForm(request)
    const read = (name: string): string => {
      const value = form.get(name) ?? request.query.get(name)?.[0]
      if (value === undefined) throw new MatrixError('M_MISSING_PARAM', `Missing parameter: ${name}`)
      return value
    }
    const given = { version: read('v'), user: read('u'), signature: read('h') }
    return new OwnResponse(htmlPage(await consents.agree(given, parseLanguages(request.headers['accept-language']))))
  },
})
