import type { Config } from '../../config/config.ts'
import type { RateLimiter } from '../../http/rate-limiter.ts'
import type { Authenticator } from '../../services/accounts/requester.ts'
import type { Typing } from '../../services/ephemeral/typing.ts'
import type { AccountData } from '../../services/user-data/account-data.ts'
import type { FilterStore } from '../../services/user-data/filter-store.ts'
import type { Profiles } from '../../services/user-data/profiles.ts'
import type { Tags } from '../../services/user-data/tags.ts'
import type { Clock } from '../../util/clock.ts'

/** The services that client endpoints may call; process/assemble.ts makes it. */
export interface ClientContext {
  readonly config: Config
  readonly clock: Clock
  readonly rateLimiter: RateLimiter
  readonly authenticator: Authenticator
  readonly accountData: AccountData
  readonly tags: Tags
  readonly filters: FilterStore
  readonly profiles: Profiles
  readonly typing: Typing
}
