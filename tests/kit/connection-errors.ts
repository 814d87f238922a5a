import { setTimeout as sleep } from 'node:timers/promises'

/** Tells whether a request got no answer because the server went away: what it did is unknown then. */
export function isConnectionError(error: unknown): boolean {
  const code = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'string' && /^(?:ECONN|EPIPE|UND_ERR_SOCKET|UND_ERR_CONNECT|UND_ERR_CLOSED)/.test(code)
}

/** Tries until an answer comes, as a client does while its server is away. Every other error ends it. */
export async function untilAnswered<T>(attempt: () => Promise<T>, withinMs = 60_000): Promise<T> {
  const deadline = performance.now() + withinMs
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (!isConnectionError(error) || performance.now() > deadline) throw error
      await sleep(50)
    }
  }
}
