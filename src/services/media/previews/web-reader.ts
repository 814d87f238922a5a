import type { Readable } from 'node:stream'
import type { OutgoingClient } from '../../../http/outgoing-client.ts'
import { OutgoingRequestError } from '../../../http/outgoing-errors.ts'
import { MatrixError } from '../../../protocol/errors.ts'
import type { Clock } from '../../../util/clock.ts'
import type { UrlBlocklist } from './url-blocklist.ts'

const REDIRECTS_MAX = 10
const REDIRECTS = new Set([301, 302, 303, 307, 308])

/** Something on the web, while it comes. The body must be read to its end, or destroyed. */
export interface WebResource {
  /** Where it was in the end. */
  readonly url: string
  readonly contentType: string | undefined
  readonly body: Readable
}

/** Fetches pages that users name: never from addresses or of URLs that the admin refuses, redirects included. */
export class WebReader {
  readonly #client: Pick<OutgoingClient, 'requestStream'>
  readonly #blocklist: UrlBlocklist
  readonly #clock: Clock
  readonly #options: { readonly bytesMax: number; readonly acceptLanguage: readonly string[] }

  constructor(deps: {
    client: Pick<OutgoingClient, 'requestStream'>
    blocklist: UrlBlocklist
    clock: Clock
    /** `max_spider_size`, `url_preview_accept_language`. */
    options: { bytesMax: number; acceptLanguage: readonly string[] }
  }) {
    this.#client = deps.client
    this.#blocklist = deps.blocklist
    this.#clock = deps.clock
    this.#options = deps.options
  }

  /** Parses a URL. Throws 403 M_UNKNOWN where the admin refuses it, 400 where it is none of the web. */
  check(text: string): URL {
    const url = URL.parse(text)
    if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:'))
      throw new MatrixError('M_UNKNOWN', 'Not a web address', { status: 400 })
    if (this.#blocklist.isBlocked(url))
      throw new MatrixError('M_UNKNOWN', 'URL blocked by url pattern blocklist entry', { status: 403 })
    return url
  }

  /** Begins to fetch. `deadlineMs` is on the monotonic clock, and also over the body. Throws as `check`, and OutgoingRequestError. */
  async open(address: string, { deadlineMs }: { readonly deadlineMs: number }): Promise<WebResource> {
    let url = this.check(address)
    for (let left = REDIRECTS_MAX; left >= 0; left--) {
      const answer = await this.#client.requestStream({
        url: withoutLogin(url),
        headers: {
          'accept-language': this.#options.acceptLanguage.join(', '),
          // Bodies come as they are: a small one that unfolds into a huge one is of no use to anybody.
          'accept-encoding': 'identity',
        },
        isPlainHttpAllowed: true,
        timeoutMs: Math.max(1, deadlineMs - this.#clock.monotonicMs()),
        bytesMax: this.#options.bytesMax,
      })
      const { location } = answer.headers
      if (!REDIRECTS.has(answer.status) || location === undefined) {
        if (answer.status >= 200 && answer.status < 300)
          return { url: url.href, contentType: answer.headers['content-type'], body: answer.body }
        answer.body.destroy()
        throw new MatrixError('M_UNKNOWN', `Got error ${answer.status}`, { status: 502 })
      }
      answer.body.destroy()
      url = this.check(URL.parse(location, url.href)?.href ?? '')
    }
    throw new OutgoingRequestError('redirect', 'There are too many redirects', { wasSent: true })
  }
}

/** Names and passwords in the URL are not sent anywhere. */
function withoutLogin(url: URL): string {
  const plain = new URL(url.href)
  plain.username = ''
  plain.password = ''
  plain.hash = ''
  return plain.href
}
