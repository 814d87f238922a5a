import { Client } from 'undici'

const TIMEOUT_MS = 5000
const BODY_BYTES_MAX = 256 * 1024

export interface ProbeRequest {
  readonly url: string
  readonly method?: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** A Unix socket to connect to instead of the URL's host. */
  readonly socketPath?: string
}

export interface ProbeAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

/** Sends one request of the doctor. Rejects where nobody answers within five seconds. */
export type Probe = (request: ProbeRequest) => Promise<ProbeAnswer>

/** Sends it over a connection of its own: a doctor looks once, and the admin chose where. */
export const probe: Probe = async ({ url, method = 'GET', headers = {}, body, socketPath }) => {
  const { origin, pathname, search } = new URL(url)
  const client = new Client(origin, {
    connect: { timeout: TIMEOUT_MS, ...(socketPath === undefined ? {} : { socketPath }) },
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
    maxResponseSize: BODY_BYTES_MAX,
  })
  try {
    const answer = await client.request({
      path: `${pathname}${search}`,
      method,
      headers: { ...headers },
      body: body ?? null,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() }
  } finally {
    await client.destroy()
  }
}

/** Reads an object of JSON; undefined where the text is none. */
export function parseJsonObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
