import type { Endpoint } from '../../http/endpoint.ts'
import { setAccountValidity } from '../admin/account-validity.ts'
import { renewAccount, sendRenewalMail } from '../client/account/account-validity.ts'
import { AUTH_FALLBACK_ENDPOINTS } from '../client/auth/auth-fallback.ts'
import type { ClientContext } from '../client/context.ts'
import { agreeToPolicy, showPolicy } from './consent.ts'

/** Agreement to the policy, accounts that must be renewed, and pages of registration. */
export const ADMISSION_ENDPOINTS: readonly Endpoint<ClientContext>[] = [
  showPolicy,
  agreeToPolicy,
  renewAccount,
  sendRenewalMail,
  setAccountValidity,
  ...AUTH_FALLBACK_ENDPOINTS,
]
