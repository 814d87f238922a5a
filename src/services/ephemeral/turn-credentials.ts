import { createHmac } from 'node:crypto'

/** What the options `turn_*` say. */
export interface TurnOptions {
  readonly turnUris: readonly string[]
  readonly turnSharedSecret: string | undefined
  readonly turnUsername: string | undefined
  readonly turnPassword: string | undefined
  readonly turnUserLifetimeMs: number
}

/** The answer of /voip/turnServer. */
export interface TurnCredentials {
  readonly username: string
  readonly password: string
  readonly uris: readonly string[]
  /** Seconds. */
  readonly ttl: number
}

/**
 * Makes a user's credentials for the TURN servers: from the secret that we share with them (the REST API for access to TURN
 * services, draft-uberti-behave-turn-rest-00), or the fixed ones; undefined where no server is configured. Spec: voip.yaml.
 */
export function computeTurnCredentials(options: TurnOptions, userId: string, nowMs: number): TurnCredentials | undefined {
  const { turnUris, turnSharedSecret, turnUsername, turnPassword, turnUserLifetimeMs } = options
  if (turnUris.length === 0 || turnUserLifetimeMs <= 0) return undefined
  const ttl = Math.floor(turnUserLifetimeMs / 1000)
  if (turnSharedSecret !== undefined) {
    const username = `${Math.floor((nowMs + turnUserLifetimeMs) / 1000)}:${userId}`
    // SHA-1 and padded base64, because TURN servers compute the same.
    return { username, password: createHmac('sha1', turnSharedSecret).update(username).digest('base64'), uris: turnUris, ttl }
  }
  if (turnUsername === undefined || turnPassword === undefined) return undefined
  return { username: turnUsername, password: turnPassword, uris: turnUris, ttl }
}
