import type { OutgoingClient } from '../../http/outgoing-client.ts'
import { OutgoingRequestError } from '../../http/outgoing-errors.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { isJsonObject } from '../../protocol/json.ts'
import { parseStrictJson } from '../../protocol/strict-json.ts'
import type { CaptchaVerifier } from './registration-flows.ts'

const TIMEOUT_MS = 10_000
const BYTES_MAX = 64 * 1024
const RESPONSE_CHARS_MAX = 16_000

/** Asks reCAPTCHA (option `recaptcha_siteverify_api`) whether a person has solved a captcha. */
export class Captchas implements CaptchaVerifier {
  readonly #outgoing: OutgoingClient
  readonly #url: string
  readonly #secret: string

  constructor(deps: { outgoing: OutgoingClient; url: string; secret: string }) {
    this.#outgoing = deps.outgoing
    this.#url = deps.url
    this.#secret = deps.secret
  }

  async verify(response: unknown): Promise<void> {
    if (typeof response !== 'string' || response === '' || response.length > RESPONSE_CHARS_MAX)
      throw new MatrixError('M_CAPTCHA_NEEDED', 'Captcha response is required')
    try {
      const { status, bytes } = await this.#outgoing.request({
        url: this.#url,
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams({ secret: this.#secret, response }).toString(),
        isPlainHttpAllowed: true,
        timeoutMs: TIMEOUT_MS,
        bytesMax: BYTES_MAX,
      })
      const answer = status < 300 ? parseStrictJson(bytes, { canonicalNumbers: false }) : undefined
      if (isJsonObject(answer) && answer['success'] === true) return
    } catch (error) {
      if (!(error instanceof OutgoingRequestError) && !(error instanceof MatrixError)) throw error
      throw new MatrixError('M_CAPTCHA_INVALID', 'The captcha could not be checked', { cause: error })
    }
    throw new MatrixError('M_CAPTCHA_INVALID', 'Captcha authentication failed')
  }
}
