import { OwnResponse } from '../../../http/endpoint.ts'
import { htmlPage } from '../../../http/html-page.ts'
import { parseLanguages } from '../../../templates/template-renderer.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** The link of a mail that renews an account. Source: Synapse, rest/client/account_validity.py. */
export const renewAccount = clientEndpoint({
  operationId: 'renewAccount',
  method: 'GET',
  path: '/_matrix/client/unstable/account_validity/renew',
  otherPaths: ['/_matrix/client/r0/account_validity/renew', '/_matrix/client/v3/account_validity/renew'],
  group: 'account',
  auth: 'none',
  query: Type.Object({ token: Type.String({ maxLength: 100 }) }),
  async handler({ query, request }, { accountValidity, templates, config }) {
    const { accountRenewedHtmlPath, invalidTokenHtmlPath } = config.email.accountValidity
    const languages = parseLanguages(request.headers['accept-language'])
    const renewal = await accountValidity.renewByToken(query.token)
    if (!renewal) return new OwnResponse(htmlPage(await templates.render(invalidTokenHtmlPath, {}, languages), { status: 404 }))
    const name = renewal.isRenewed ? accountRenewedHtmlPath : 'account_previously_renewed.html'
    return new OwnResponse(htmlPage(await templates.render(name, { expiration_ts: renewal.expiresTsMs }, languages)))
  },
})

/** Sends that mail anew, to owners of ended accounts too. Errors: M_FORBIDDEN. */
export const sendRenewalMail = clientEndpoint({
  operationId: 'sendRenewalMail',
  method: 'POST',
  path: '/_matrix/client/unstable/account_validity/send_mail',
  otherPaths: ['/_matrix/client/r0/account_validity/send_mail', '/_matrix/client/v3/account_validity/send_mail'],
  group: 'account',
  auth: 'user',
  isExpiredAllowed: true,
  async handler({ requester }, { accountValidity }) {
    await accountValidity.sendRenewalMail(requester.userId)
    return {}
  },
})
