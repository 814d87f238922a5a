import { ResponseChecker } from './response-checker.ts'

/**
 * Throws SpecViolation unless the server-server API allows this answer of ours: its status, and its body where it is JSON
 * (`undefined` stands for other content, such as media). Paths outside of the federation API pass.
 */
export function checkFederationResponse(method: string, path: string, status: number, body: unknown): void {
  if (!/^\/_matrix\/(?:federation|key|policy)\//.test(path)) return
  ResponseChecker.shared().check({
    method,
    url: path,
    status,
    contentType: body === undefined ? undefined : 'application/json',
    bodyText: body === undefined ? '' : JSON.stringify(body),
  })
}
