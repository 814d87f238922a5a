import { clientEndpoint } from '../client-endpoint.ts'
import { EMAIL_TOKEN_BODY, PHONE_TOKEN_BODY, readTokenRequest } from './token-request.ts'

/** Sends a mail that proves the address of a new account. Errors: M_THREEPID_IN_USE, M_THREEPID_DENIED. Spec: registration.yaml. */
export const requestTokenToRegisterEmail = clientEndpoint({
  operationId: 'requestTokenToRegisterEmail',
  method: 'POST',
  path: '/_matrix/client/v3/register/email/requestToken',
  group: 'login',
  auth: 'none',
  body: EMAIL_TOKEN_BODY,
  handler({ body, request }, { threepidValidation }) {
    const common = readTokenRequest('registration', body, request.remoteAddress)
    return threepidValidation.requestEmailToken({ ...common, email: body.email })
  },
})

/** Has a message sent that proves the phone number of a new account. Errors like for e-mail. Spec: registration.yaml. */
export const requestTokenToRegisterMsisdn = clientEndpoint({
  operationId: 'requestTokenToRegisterMSISDN',
  method: 'POST',
  path: '/_matrix/client/v3/register/msisdn/requestToken',
  group: 'login',
  auth: 'none',
  body: PHONE_TOKEN_BODY,
  handler({ body, request }, { threepidValidation }) {
    const common = readTokenRequest('registration', body, request.remoteAddress)
    return threepidValidation.requestPhoneToken({ ...common, country: body.country, number: body.phone_number })
  },
})

/** Sends a mail to who has forgotten the password. Errors: M_THREEPID_NOT_FOUND. Spec: password_management.yaml. */
export const requestTokenToResetPasswordEmail = clientEndpoint({
  operationId: 'requestTokenToResetPasswordEmail',
  method: 'POST',
  path: '/_matrix/client/v3/account/password/email/requestToken',
  group: 'login',
  auth: 'none',
  body: EMAIL_TOKEN_BODY,
  handler({ body, request }, { threepidValidation }) {
    const common = readTokenRequest('password_reset', body, request.remoteAddress)
    return threepidValidation.requestEmailToken({ ...common, email: body.email })
  },
})

/** Has a message sent to the phone of who has forgotten the password. Spec: password_management.yaml. */
export const requestTokenToResetPasswordMsisdn = clientEndpoint({
  operationId: 'requestTokenToResetPasswordMSISDN',
  method: 'POST',
  path: '/_matrix/client/v3/account/password/msisdn/requestToken',
  group: 'login',
  auth: 'none',
  body: PHONE_TOKEN_BODY,
  handler({ body, request }, { threepidValidation }) {
    const common = readTokenRequest('password_reset', body, request.remoteAddress)
    return threepidValidation.requestPhoneToken({ ...common, country: body.country, number: body.phone_number })
  },
})

/** Sends a mail that proves a further address of an account. Errors: M_THREEPID_IN_USE, M_THREEPID_DENIED. Spec: administrative_contact.yaml. */
export const requestTokenTo3pidEmail = clientEndpoint({
  operationId: 'requestTokenTo3PIDEmail',
  method: 'POST',
  path: '/_matrix/client/v3/account/3pid/email/requestToken',
  group: 'account',
  auth: 'none',
  body: EMAIL_TOKEN_BODY,
  handler({ body, request }, { threepidValidation, threepids }) {
    threepids.assertChangeable()
    const common = readTokenRequest('add_threepid', body, request.remoteAddress)
    return threepidValidation.requestEmailToken({ ...common, email: body.email })
  },
})

/** Has a message sent that proves a further phone number of an account. Spec: administrative_contact.yaml. */
export const requestTokenTo3pidMsisdn = clientEndpoint({
  operationId: 'requestTokenTo3PIDMSISDN',
  method: 'POST',
  path: '/_matrix/client/v3/account/3pid/msisdn/requestToken',
  group: 'account',
  auth: 'none',
  body: PHONE_TOKEN_BODY,
  handler({ body, request }, { threepidValidation, threepids }) {
    threepids.assertChangeable()
    const common = readTokenRequest('add_threepid', body, request.remoteAddress)
    return threepidValidation.requestPhoneToken({ ...common, country: body.country, number: body.phone_number })
  },
})
