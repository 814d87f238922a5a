import { OwnResponse } from '../../../http/endpoint.ts'
import type { Endpoint, HttpRequest } from '../../../http/endpoint.ts'
import { readForm } from '../../../http/form.ts'
import { htmlPage } from '../../../http/html-page.ts'
import { MatrixError } from '../../../protocol/errors.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import { RECAPTCHA_STAGE, REGISTRATION_TOKEN_STAGE, TERMS_STAGE } from '../../../services/accounts/registration-flows.ts'
import { parseLanguages } from '../../../templates/template-renderer.ts'
import { clientEndpoint } from '../client-endpoint.ts'
import type { ClientContext } from '../context.ts'

/** The last page tells the window that opened it. */
const DONE_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src * data:; base-uri 'none'; frame-ancestors 'none'"
const RECAPTCHA_SOURCES = 'https://www.recaptcha.net https://www.google.com https://www.gstatic.com'
const RECAPTCHA_POLICY =
  `default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' ${RECAPTCHA_SOURCES}; frame-src ${RECAPTCHA_SOURCES}; ` +
  `connect-src ${RECAPTCHA_SOURCES}; img-src * data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`

/** A stage that a client which does not know it has done in a browser. */
interface Stage {
  readonly name: string
  readonly template: string
  /** The form's field that the stage is about, and what it is called in JSON. */
  readonly field?: { readonly inForm: string; readonly inAuth: string }
  readonly policy?: string
}

const RECAPTCHA: Stage = {
  name: RECAPTCHA_STAGE,
  template: 'recaptcha.html',
  field: { inForm: 'g-recaptcha-response', inAuth: 'response' },
  policy: RECAPTCHA_POLICY,
}
const TERMS: Stage = { name: TERMS_STAGE, template: 'terms.html' }
const REGISTRATION_TOKEN: Stage = {
  name: REGISTRATION_TOKEN_STAGE,
  template: 'registration_token.html',
  field: { inForm: 'token', inAuth: 'token' },
}

/** Stages of registration as pages, for clients that do not know them. Spec: client-server-api § Fallback. */
export const AUTH_FALLBACK_ENDPOINTS: readonly Endpoint<ClientContext>[] = [
  clientEndpoint({
    operationId: 'showRecaptchaFallback',
    method: 'GET',
    path: pathOf(RECAPTCHA),
    group: 'login',
    auth: 'none',
    handler: ({ request }, context) => begin(context, request, RECAPTCHA),
  }),
  clientEndpoint({
    operationId: 'submitRecaptchaFallback',
    method: 'POST',
    path: pathOf(RECAPTCHA),
    group: 'login',
    auth: 'none',
    handler: ({ request }, context) => submit(context, request, RECAPTCHA),
  }),
  clientEndpoint({
    operationId: 'showTermsFallback',
    method: 'GET',
    path: pathOf(TERMS),
    group: 'login',
    auth: 'none',
    handler: ({ request }, context) => begin(context, request, TERMS),
  }),
  clientEndpoint({
    operationId: 'submitTermsFallback',
    method: 'POST',
    path: pathOf(TERMS),
    group: 'login',
    auth: 'none',
    handler: ({ request }, context) => submit(context, request, TERMS),
  }),
  clientEndpoint({
    operationId: 'showRegistrationTokenFallback',
    method: 'GET',
    path: pathOf(REGISTRATION_TOKEN),
    group: 'login',
    auth: 'none',
    handler: ({ request }, context) => begin(context, request, REGISTRATION_TOKEN),
  }),
  clientEndpoint({
    operationId: 'submitRegistrationTokenFallback',
    method: 'POST',
    path: pathOf(REGISTRATION_TOKEN),
    group: 'login',
    auth: 'none',
    handler: ({ request }, context) => submit(context, request, REGISTRATION_TOKEN),
  }),
]

function pathOf({ name }: Stage): string {
  return `/_matrix/client/v3/auth/${name}/fallback/web`
}

function begin(context: ClientContext, request: HttpRequest, stage: Stage): Promise<OwnResponse> {
  const [session] = request.query.get('session') ?? []
  if (session === undefined) throw new MatrixError('M_MISSING_PARAM', 'Missing parameter: session')
  return show(context, request, { stage, session })
}

async function show(
  { templates, registration }: ClientContext,
  request: HttpRequest,
  page: { stage: Stage; session: string; error?: string },
): Promise<OwnResponse> {
  const { stage, session, error } = page
  const variables = { ...registration.getPageVariables(), session, error, myurl: request.url.split('?', 1)[0] }
  const html = await templates.render(stage.template, variables, parseLanguages(request.headers['accept-language']))
  return new OwnResponse(htmlPage(html, stage.policy === undefined ? {} : { policy: stage.policy }))
}

async function submit(context: ClientContext, request: HttpRequest, stage: Stage): Promise<OwnResponse> {
  const form = await readForm(request)
  const session = form.get('session') ?? request.query.get('session')?.[0]
  if (session === undefined) throw new MatrixError('M_MISSING_PARAM', 'Missing parameter: session')
  const { field } = stage
  const auth: JsonObject = field ? { [field.inAuth]: form.get(field.inForm) ?? '' } : {}
  try {
    await context.registration.completeStage(session, stage.name, auth, request.remoteAddress)
  } catch (error) {
    if (!(error instanceof MatrixError) || error.errcode === 'M_LIMIT_EXCEEDED') throw error
    return show(context, request, { stage, session, error: error.message })
  }
  const html = await context.templates.render('auth_success.html', {}, parseLanguages(request.headers['accept-language']))
  return new OwnResponse(htmlPage(html, { policy: DONE_POLICY }))
}
