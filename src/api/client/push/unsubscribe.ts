import { OwnResponse } from '../../../http/endpoint.ts'
import type { HttpRequest } from '../../../http/endpoint.ts'
import { htmlPage } from '../../../http/html-page.ts'
import { parseLanguages } from '../../../templates/template-renderer.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import type { ClientContext } from '../context.ts'

const PATH = '/_synapse/client/unsubscribe'
const QUERY = Type.Object({ token: Type.Optional(Type.String({ maxLength: 100 })) })

/** The link in mails about missed messages: asks whether they shall stop. Programs that open links in mails stop nothing. */
export const showUnsubscribe = clientEndpoint({
  operationId: 'showUnsubscribe',
  method: 'GET',
  path: PATH,
  group: 'client_reads',
  auth: 'none',
  query: QUERY,
  async handler({ query, request }, context) {
    const pusher = query.token === undefined ? undefined : await context.pushers.getByUnsubscribeToken(query.token)
    if (!pusher) return page(context, request, { name: 'unsubscribe_failure.html', status: 400 })
    return page(context, request, { name: 'unsubscribe_confirmation.html', variables: { address: pusher.pushkey } })
  },
})

/** Stops the mails: the button of that page, or of the mail program (RFC 8058). Idempotent. */
export const unsubscribe = clientEndpoint({
  operationId: 'unsubscribe',
  method: 'POST',
  path: PATH,
  group: 'client_reads',
  auth: 'none',
  query: QUERY,
  async handler({ query, request }, context) {
    const pusher = query.token === undefined ? undefined : await context.pushers.getByUnsubscribeToken(query.token)
    if (pusher) await context.pushers.delete(pusher)
    return page(context, request, { name: 'unsubscribe_success.html' })
  },
})

async function page(
  { templates }: ClientContext,
  request: HttpRequest,
  options: { name: string; status?: number; variables?: Record<string, unknown> },
): Promise<OwnResponse> {
  const { name, status = 200, variables = {} } = options
  const html = await templates.render(name, variables, parseLanguages(request.headers['accept-language']))
  return new OwnResponse(htmlPage(html, { status }))
}
