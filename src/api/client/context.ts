import type { Config } from '../../config/config.ts'
import type { RateLimiter } from '../../http/rate-limiter.ts'
import type { Authenticator } from '../../services/accounts/requester.ts'
import type { Clock } from '../../util/clock.ts'

/** The services that client endpoints may call; process/assemble.ts makes it. */
export interface ClientContext {
  readonly config: Config
  readonly clock: Clock
  readonly rateLimiter: RateLimiter
  readonly authenticator: Authenticator
}
