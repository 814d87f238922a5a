import { fetch } from 'undici'
import type { RequestInfo, RequestInit, Response } from 'undici'
import { ResponseChecker } from '../kit/spec/response-checker.ts'

/** A `fetch` for client libraries. Every answer is checked against the specification; what it does not allow is kept, not thrown. */
export class CheckedFetch {
  readonly violations: string[] = []
  readonly #checker: ResponseChecker | undefined

  constructor({ isChecked }: { readonly isChecked: boolean }) {
    this.#checker = isChecked ? ResponseChecker.shared() : undefined
  }

  readonly fetch = async (input: RequestInfo, init?: RequestInit): Promise<Response> => {
    const response = await fetch(input, init)
    if (this.#checker === undefined) return response
    const url = typeof input === 'string' || input instanceof URL ? String(input) : input.url
    const method = init?.method ?? 'GET'
    try {
      this.#checker.check({
        method,
        url,
        status: response.status,
        contentType: response.headers.get('content-type') ?? undefined,
        bodyText: await response.clone().text(),
      })
    } catch (error) {
      // A long poll that the library has given up has no body to check.
      if (!(error instanceof Error && error.name === 'AbortError')) this.violations.push(String(error))
    }
    return response
  }
}
