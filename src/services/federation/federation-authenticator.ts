import type { HttpRequest } from '../../http/endpoint.ts'
import type { ServerName } from '../../protocol/ids.ts'
import type { JsonValue } from '../../protocol/json.ts'

/** Tells which server sent a request, by the signature in its X-Matrix headers. */
export declare class FederationAuthenticator {
  /** Throws M_UNAUTHORIZED (401), and M_FORBIDDEN for servers outside `federation_domain_whitelist`. `body`: as parsed; undefined if there was none. */
  authenticate(request: HttpRequest, body: JsonValue | undefined): Promise<{ readonly origin: ServerName }>
}
