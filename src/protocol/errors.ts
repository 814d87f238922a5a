/** Every errcode that we answer, with its usual HTTP status. Spec: client-server-api § Standard error response. */
export const ERRCODE_STATUS = {
  M_FORBIDDEN: 403,
  M_UNKNOWN_TOKEN: 401,
  M_MISSING_TOKEN: 401,
  M_USER_LOCKED: 401,
  M_USER_SUSPENDED: 403,
  M_USER_DEACTIVATED: 403,
  M_BAD_JSON: 400,
  M_NOT_JSON: 400,
  M_NOT_FOUND: 404,
  M_LIMIT_EXCEEDED: 429,
  M_UNRECOGNIZED: 404,
  M_UNKNOWN: 500,
  M_UNKNOWN_POS: 400,
  M_UNAUTHORIZED: 401,
  M_USER_IN_USE: 400,
  M_INVALID_USERNAME: 400,
  M_ROOM_IN_USE: 400,
  M_INVALID_ROOM_STATE: 400,
  M_THREEPID_IN_USE: 400,
  M_THREEPID_NOT_FOUND: 400,
  M_THREEPID_AUTH_FAILED: 400,
  M_THREEPID_DENIED: 403,
  M_THREEPID_MEDIUM_NOT_SUPPORTED: 400,
  M_SERVER_NOT_TRUSTED: 403,
  M_UNSUPPORTED_ROOM_VERSION: 400,
  M_INCOMPATIBLE_ROOM_VERSION: 400,
  M_BAD_STATE: 403,
  M_GUEST_ACCESS_FORBIDDEN: 403,
  M_CAPTCHA_NEEDED: 401,
  M_CAPTCHA_INVALID: 401,
  M_MISSING_PARAM: 400,
  M_INVALID_PARAM: 400,
  M_TOO_LARGE: 413,
  M_EXCLUSIVE: 400,
  M_RESOURCE_LIMIT_EXCEEDED: 403,
  M_CANNOT_LEAVE_SERVER_NOTICE_ROOM: 403,
  M_INVITE_BLOCKED: 403,
  M_WEAK_PASSWORD: 400,
  M_WRONG_ROOM_KEYS_VERSION: 403,
  M_DUPLICATE_ANNOTATION: 400,
  M_NOT_YET_UPLOADED: 504,
  M_CANNOT_OVERWRITE_MEDIA: 409,
  M_URL_NOT_SET: 400,
  M_BAD_STATUS: 502,
  M_UNKNOWN_DEVICE: 400,
  M_CONNECTION_FAILED: 502,
  M_CONNECTION_TIMEOUT: 504,
  M_UNABLE_TO_AUTHORISE_JOIN: 400,
  M_UNABLE_TO_GRANT_JOIN: 403,
  M_BAD_ALIAS: 400,
  M_INVALID_SIGNATURE: 400,
  M_CONSENT_NOT_GIVEN: 403,
  M_KEY_TOO_LARGE: 400,
  M_PROFILE_TOO_LARGE: 400,
  M_THREEPID_ERROR: 400,
  M_UNACTIONABLE: 400,
  // Synapse's own, of option account_validity.
  ORG_MATRIX_EXPIRED_ACCOUNT: 403,
} as const
export type Errcode = keyof typeof ERRCODE_STATUS

/**
 * An error that the client or peer must be told. `status` defaults to the errcode's usual one; `extra` is merged into
 * the JSON answer (`retry_after_ms`, `soft_logout`, `room_version` …).
 */
export class MatrixError extends Error {
  readonly errcode: Errcode
  readonly status: number
  readonly extra: Readonly<Record<string, unknown>> | undefined

  constructor(
    errcode: Errcode,
    message: string,
    options?: { status?: number; extra?: Record<string, unknown>; cause?: unknown },
  ) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'MatrixError'
    this.errcode = errcode
    this.status = options?.status ?? ERRCODE_STATUS[errcode]
    this.extra = options?.extra
  }

  /** The body of the answer. */
  toJson(): Record<string, unknown> {
    return { errcode: this.errcode, error: this.message, ...this.extra }
  }
}

/** The parameter or identifier is malformed: 400 M_INVALID_PARAM. */
export function invalidParam(message: string): MatrixError {
  return new MatrixError('M_INVALID_PARAM', message)
}
