import { OwnResponse } from '../../../http/endpoint.ts'
import type { HttpRequest } from '../../../http/endpoint.ts'
import { readForm } from '../../../http/form.ts'
import { htmlPage, redirectTo } from '../../../http/html-page.ts'
import { MatrixError } from '../../../protocol/errors.ts'
import type { ThreepidPurpose } from '../../../storage/tables/threepid-sessions.ts'
import { parseLanguages } from '../../../templates/template-renderer.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import type { ClientContext } from '../context.ts'

const PROOF = Type.Object({ sid: Type.String(), client_secret: Type.String(), token: Type.String() })

interface Proof {
  readonly sid: string
  readonly client_secret: string
  readonly token: string
}

/** What the page says that a link leads to. */
interface Pages {
  readonly success: string
  readonly failure: string
}

/** The link of a registration mail. Source: Synapse, rest/client/register.py (paths only; the specification leaves them open). */
export const submitRegistrationToken = clientEndpoint({
  operationId: 'submitRegistrationEmailToken',
  method: 'GET',
  path: '/_matrix/client/unstable/registration/email/submit_token',
  group: 'login',
  auth: 'none',
  query: PROOF,
  handler({ query, request }, context) {
    const { registrationTemplateSuccessHtml: success, registrationTemplateFailureHtml: failure } = context.config.email.email
    return submit(context, request, { purpose: 'registration', proof: query, pages: { success, failure } })
  },
})

/** The link of a mail that proves a further address. */
export const submitAddThreepidToken = clientEndpoint({
  operationId: 'submitAddThreepidEmailToken',
  method: 'GET',
  path: '/_matrix/client/unstable/add_threepid/email/submit_token',
  group: 'account',
  auth: 'none',
  query: PROOF,
  handler({ query, request }, context) {
    const { addThreepidTemplateSuccessHtml: success, addThreepidTemplateFailureHtml: failure } = context.config.email.email
    return submit(context, request, { purpose: 'add_threepid', proof: query, pages: { success, failure } })
  },
})

/** The link of a mail about a password: asks first, so that programs that open links in mails confirm nothing. */
export const showPasswordResetConfirmation = clientEndpoint({
  operationId: 'showPasswordResetConfirmation',
  method: 'GET',
  path: '/_synapse/client/password_reset/email/submit_token',
  group: 'login',
  auth: 'none',
  query: PROOF,
  async handler({ query, request }, { templates }) {
    return new OwnResponse(
      htmlPage(
        await templates.render('password_reset_confirmation.html', query, parseLanguages(request.headers['accept-language'])),
      ),
    )
  },
})

/** The button of the page that a mail about a password leads to. */
export const submitPasswordResetToken = clientEndpoint({
  operationId: 'submitPasswordResetToken',
  method: 'POST',
  path: '/_synapse/client/password_reset/email/submit_token',
  group: 'login',
  auth: 'none',
  async handler({ request }, context) {
    const form = await readForm(request)
    const read = (name: string): string => {
      const value = form.get(name) ?? request.query.get(name)?.[0]
      if (value === undefined) throw new MatrixError('M_MISSING_PARAM', `Missing parameter: ${name}`)
      return value
    }
    const proof = { sid: read('sid'), client_secret: read('client_secret'), token: read('token') }
    const { passwordResetTemplateSuccessHtml: success, passwordResetTemplateFailureHtml: failure } = context.config.email.email
    return submit(context, request, { purpose: 'password_reset', proof, pages: { success, failure } })
  },
})

/** What stood in a message to a phone. Spec: identity-service-api § submitToken, by way of us (MSC2078). */
export const submitMsisdnToken = clientEndpoint({
  operationId: 'submitMsisdnToken',
  method: 'POST',
  path: '/_matrix/client/unstable/add_threepid/msisdn/submit_token',
  group: 'login',
  auth: 'none',
  body: PROOF,
  handler({ body }, { threepidValidation }) {
    return threepidValidation.submitPhoneToken({ sid: body.sid, clientSecret: body.client_secret, token: body.token })
  },
})

async function submit(
  { threepidValidation, templates }: ClientContext,
  request: HttpRequest,
  { purpose, proof, pages }: { purpose: ThreepidPurpose; proof: Proof; pages: Pages },
): Promise<OwnResponse> {
  const { sid, client_secret: clientSecret, token } = proof
  const languages = parseLanguages(request.headers['accept-language'])
  const outcome = await threepidValidation.submitEmailToken(purpose, { sid, clientSecret, token })
  if (!outcome) {
    const variables = { failure_reason: 'the link is not valid, or too old' }
    return new OwnResponse(htmlPage(await templates.render(pages.failure, variables, languages), { status: 400 }))
  }
  if (outcome.nextLink !== null) return new OwnResponse(redirectTo(outcome.nextLink))
  return new OwnResponse(htmlPage(await templates.render(pages.success, {}, languages)))
}
