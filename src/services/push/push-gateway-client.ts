import type { OutgoingClient } from '../../http/outgoing-client.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'
import { Gate } from '../../util/gate.ts'

const TIMEOUT_MS = 10_000
const ANSWER_BYTES_MAX = 64 * 1024
const GATEWAYS_MAX = 1000
/** Requests to one gateway at a time; whoever waits for a slow one keeps nobody else from another. */
const REQUESTS_PER_GATEWAY_MAX = 20

/** The gateway answered with a status that says no. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError'
}

/** Hands notifications to push gateways. Spec: push-gateway-api, push_notifier.yaml. */
export class PushGatewayClient {
  readonly #outgoing: Pick<OutgoingClient, 'request'>
  readonly #gates = cacheOfEntries<string, Gate>(GATEWAYS_MAX)

  constructor(deps: { outgoing: Pick<OutgoingClient, 'request'> }) {
    this.#outgoing = deps.outgoing
  }

  /** Returns the rejected push keys. Throws GatewayError, OutgoingRequestError: then it is to be tried again. */
  async notify(url: string, notification: JsonObject, signal: AbortSignal): Promise<ReadonlySet<string>> {
    const answer = await this.#gateOf(url).run(() =>
      this.#outgoing.request({
        url,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ notification }),
        isPlainHttpAllowed: true,
        timeoutMs: TIMEOUT_MS,
        bytesMax: ANSWER_BYTES_MAX,
        signal,
      }),
    )
    if (answer.status < 200 || answer.status > 299)
      throw new GatewayError(`The push gateway answered with status ${answer.status}`)
    return parseRejected(answer.bytes.toString('utf8'))
  }

  #gateOf(url: string): Gate {
    const host = URL.parse(url)?.host ?? ''
    const known = this.#gates.get(host)
    if (known) return known
    const gate = new Gate({ runningMax: REQUESTS_PER_GATEWAY_MAX, waitingMax: Infinity })
    this.#gates.set(host, gate)
    return gate
  }
}

/** What the gateway has taken is not sent again, however odd its answer is. */
function parseRejected(text: string): ReadonlySet<string> {
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return new Set()
    throw error
  }
  const rejected = isJsonObject(answer) ? answer['rejected'] : undefined
  return new Set(Array.isArray(rejected) ? rejected.filter((key) => typeof key === 'string') : [])
}
