import type { HttpResponse } from './endpoint.ts'

/** A page may show pictures and send its own forms; it runs no script, loads nothing else and stands in no frame. */
const POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; img-src * data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

/** Makes the answer of a page for people, which no other page can frame and nobody keeps. `policy`: another Content-Security-Policy. */
export function htmlPage(html: string, options: { readonly status?: number; readonly policy?: string } = {}): HttpResponse {
  return {
    status: options.status ?? 200,
    contentType: 'text/html; charset=utf-8',
    headers: {
      'content-security-policy': options.policy ?? POLICY,
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store, max-age=0',
    },
    body: html,
  }
}

/** Sends a browser on. */
export function redirectTo(location: string): HttpResponse {
  return { status: 302, headers: { location, 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' } }
}
