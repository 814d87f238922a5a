import { request as requestHttp } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { request as requestHttps } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'

const ATTEMPT_TIMEOUT_MS = 2_000
const POLL_MS = 50

/** Asks `/health` of a listener of this machine (`http://…`, `https://…`, `unix:/path`) until it answers 200. Returns whether it did in time. */
export async function waitUntilHealthy(address: string, options: { timeoutMs: number; signal: AbortSignal }): Promise<boolean> {
  const deadlineMs = performance.now() + options.timeoutMs
  while (!options.signal.aborted) {
    if (await isHealthy(address)) return true
    if (performance.now() >= deadlineMs) return false
    await sleep(POLL_MS)
  }
  return false
}

/** Asks once. */
function isHealthy(address: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const onResponse = (response: IncomingMessage): void => {
    response.resume()
    resolve(response.statusCode === 200)
  }
  // The certificate is for the name that clients use; this is the same machine.
  const common = { timeout: ATTEMPT_TIMEOUT_MS, rejectUnauthorized: false, agent: false as const }
  const request = address.startsWith('unix:')
    ? requestHttp({ ...common, socketPath: address.slice('unix:'.length), path: '/health' }, onResponse)
    : (address.startsWith('https:') ? requestHttps : requestHttp)(new URL('/health', address), common, onResponse)
  request.once('timeout', () => request.destroy())
  request.once('error', () => resolve(false))
  request.once('close', () => resolve(false))
  request.end()
  return promise
}
