import { Type } from '../../../util/schema.ts'
import type { TokenRequest } from '../../../services/accounts/threepid-validation.ts'
import type { ThreepidPurpose } from '../../../storage/tables/threepid-sessions.ts'

const COMMON_FIELDS = {
  client_secret: Type.String(),
  send_attempt: Type.Integer(),
  next_link: Type.Optional(Type.Union([Type.String(), Type.Null()])),
} as const

/** The body of requests for a mail that proves an address. Spec: definitions/request_email_validation.yaml. */
export const EMAIL_TOKEN_BODY = Type.Object({ ...COMMON_FIELDS, email: Type.String() })
/** The body of requests for a message to a phone. Spec: definitions/request_msisdn_validation.yaml. */
export const PHONE_TOKEN_BODY = Type.Object({ ...COMMON_FIELDS, country: Type.String(), phone_number: Type.String() })

/** What both have in common, as the service takes it. */
export function readTokenRequest(
  purpose: ThreepidPurpose,
  body: { readonly client_secret: string; readonly send_attempt: number; readonly next_link?: string | null },
  remoteAddress: string,
): TokenRequest {
  return {
    purpose,
    clientSecret: body.client_secret,
    sendAttempt: body.send_attempt,
    nextLink: body.next_link ?? undefined,
    remoteAddress,
  }
}
