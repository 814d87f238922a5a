/** Joins over federation may take minutes; clients wait for them. */
export const REQUEST_TIMEOUT_S = 180
/** Longer than clients wait: the processes end long polls, not the proxy. */
export const LONG_POLL_TIMEOUT_S = 630
/** Bodies that are no uploads: a transaction of another server is far below. Synapse: 200 events of 64 KiB. */
export const OTHER_BODY_BYTES_MAX = 200 * 65_536

/** What a proxy itself answers, in the words of the Matrix specification. */
export const ERRORS_OF_PROXY: readonly { readonly statuses: readonly number[]; readonly name: string; readonly body: string }[] =
  [
    // Such as a path with %00, which no process gets to see.
    { statuses: [400], name: 'malformed', body: '{"errcode":"M_INVALID_PARAM","error":"The request is malformed"}' },
    { statuses: [404], name: 'unknown', body: '{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}' },
    { statuses: [413], name: 'too_large', body: '{"errcode":"M_TOO_LARGE","error":"The request body is too large"}' },
    { statuses: [502, 503, 504], name: 'away', body: '{"errcode":"M_UNKNOWN","error":"The server is not available"}' },
  ]

/** What our processes tell each other when one hands a request on: nobody else may say it. */
export const PRIVATE_HEADERS: readonly string[] = ['X-Forwarded-Worker', 'X-Ganglion-Secret', 'X-Ganglion-Client']
