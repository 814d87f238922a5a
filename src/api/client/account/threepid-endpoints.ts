import type { Endpoint } from '../../../http/endpoint.ts'
import type { ClientContext } from '../context.ts'
import { add3pid, bind3pid, delete3pid, getAccount3PIDs, post3pids, unbind3pid } from './administrative-contact.ts'
import {
  showPasswordResetConfirmation,
  submitAddThreepidToken,
  submitMsisdnToken,
  submitPasswordResetToken,
  submitRegistrationToken,
} from './submit-token.ts'
import {
  requestTokenTo3pidEmail,
  requestTokenTo3pidMsisdn,
  requestTokenToRegisterEmail,
  requestTokenToRegisterMsisdn,
  requestTokenToResetPasswordEmail,
  requestTokenToResetPasswordMsisdn,
} from './token-endpoints.ts'

/** E-mail addresses and phone numbers: proving, adding and removing them. */
export const THREEPID_ENDPOINTS: readonly Endpoint<ClientContext>[] = [
  getAccount3PIDs,
  post3pids,
  add3pid,
  bind3pid,
  unbind3pid,
  delete3pid,
  requestTokenTo3pidEmail,
  requestTokenTo3pidMsisdn,
  requestTokenToRegisterEmail,
  requestTokenToRegisterMsisdn,
  requestTokenToResetPasswordEmail,
  requestTokenToResetPasswordMsisdn,
  submitRegistrationToken,
  submitAddThreepidToken,
  submitMsisdnToken,
  showPasswordResetConfirmation,
  submitPasswordResetToken,
]
