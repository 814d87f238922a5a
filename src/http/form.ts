import { MatrixError } from '../protocol/errors.ts'
import type { HttpRequest } from './endpoint.ts'

const FORM_BYTES_MAX = 64 * 1024

/** Reads what a page's form sends. Throws M_TOO_LARGE, M_INVALID_PARAM. */
export async function readForm(request: HttpRequest): Promise<URLSearchParams> {
  const text = (await request.readBody(FORM_BYTES_MAX)).toString('utf8')
  const form = new URLSearchParams(text)
  for (const value of form.values())
    if (value.includes('\u0000')) throw new MatrixError('M_INVALID_PARAM', 'U+0000 is not allowed')
  return form
}
