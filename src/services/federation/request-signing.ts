import { canonicalJson } from '../../protocol/canonical-json.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import { signText } from '../../protocol/signatures.ts'
import type { SigningKey } from '../../protocol/signing-key.ts'

const HEADER_CHARS_MAX = 4096
const SCHEME = /^x-matrix +/i
/** A token of RFC 9110, colons besides for older servers, or a quoted string; then a comma or the end. */
const PARAMETER =
  /[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+\-.^_`|~0-9A-Za-z:[\]/=]*))[ \t]*(?:,|$)/y

/** What a signed request is about: everything that its signature covers. */
export interface SignedRequest {
  readonly method: string
  /** Path and query as sent. */
  readonly uri: string
  readonly origin: string
  readonly destination: string
  /** The parsed body; undefined where there is none. */
  readonly content: JsonValue | undefined
}

/** The fields of an X-Matrix header. */
export interface XMatrix {
  readonly origin: string
  /** Absent in requests of old servers. */
  readonly destination: string | undefined
  readonly keyId: string
  readonly signature: string
}

/** Makes the object that is signed for a request. Spec: server-server-api § Request Authentication. */
export function signedRequestJson(request: SignedRequest): JsonObject {
  const { content, ...rest } = request
  return { ...rest, ...(content === undefined ? {} : { content }) }
}

/** Writes the Authorization header of a request of ours. Spec: server-server-api § Request Authentication. */
export function buildXMatrix(request: SignedRequest, key: SigningKey): string {
  const signature = signText(canonicalJson(signedRequestJson(request)), key)
  return `X-Matrix origin="${request.origin}",destination="${request.destination}",key="${key.id}",sig="${signature}"`
}

/**
 * Reads an X-Matrix header: names in any case and order, values quoted or not, unknown parameters ignored. Returns undefined on
 * what is none, or lacks a field, or has one twice. Spec: server-server-api § Request Authentication; RFC 9110 § 11.4.
 */
export function parseXMatrix(header: string): XMatrix | undefined {
  const scheme = header.length <= HEADER_CHARS_MAX ? SCHEME.exec(header) : null
  if (scheme === null) return undefined
  const fields = new Map<string, string>()
  const parameter = new RegExp(PARAMETER)
  parameter.lastIndex = scheme[0].length
  while (parameter.lastIndex < header.length) {
    const match = parameter.exec(header)
    if (match === null) return undefined
    const name = (match[1] ?? '').toLowerCase()
    if (fields.has(name)) return undefined
    fields.set(name, match[2]?.replace(/\\(.)/g, '$1') ?? match[3] ?? '')
  }
  const [origin, keyId, signature] = [fields.get('origin'), fields.get('key'), fields.get('sig')]
  if (!origin || !keyId || !signature) return undefined
  return { origin, destination: fields.get('destination'), keyId, signature }
}
