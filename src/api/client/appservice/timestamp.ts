import type { Static } from 'typebox'
import { MatrixError } from '../../../protocol/errors.ts'
import type { Requester } from '../../../services/accounts/requester.ts'
import { Type } from '../../../util/schema.ts'

/** The query of endpoints where application services may choose the time of an event. */
export const timestampQuery = Type.Object({ ts: Type.Optional(Type.Number()) })

/** The time that an application service has chosen; of others it is not heard. Spec: application-service-api § Timestamp massaging. */
export function chosenTimestamp(requester: Requester, { ts }: Static<typeof timestampQuery>): number | undefined {
  if (requester.appserviceId === undefined || ts === undefined) return undefined
  if (!Number.isSafeInteger(ts) || ts < 0) throw new MatrixError('M_INVALID_PARAM', "'ts' must be a time in milliseconds")
  return ts
}
