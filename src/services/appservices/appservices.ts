import { hash } from 'node:crypto'
import { MatrixError } from '../../protocol/errors.ts'
import type { Appservice } from './appservice.ts'

/** All application services, and what belongs to whom. */
export class Appservices {
  readonly all: readonly Appservice[]
  /** By the hash of the token: comparing hashes tells nothing of tokens by the time it takes. */
  readonly #byToken: ReadonlyMap<string, Appservice>
  readonly #byId: ReadonlyMap<string, Appservice>

  constructor(all: readonly Appservice[]) {
    this.all = all
    this.#byToken = new Map(all.map((appservice) => [digest(appservice.registration.asToken), appservice]))
    this.#byId = new Map(all.map((appservice) => [appservice.id, appservice]))
  }

  /** The service with this `as_token`. */
  withToken(token: string): Appservice | undefined {
    return this.all.length === 0 ? undefined : this.#byToken.get(digest(token))
  }

  withId(id: string): Appservice | undefined {
    return this.#byId.get(id)
  }

  /** Refuses users of another service's exclusive namespace. Throws M_EXCLUSIVE. */
  assertMayMakeUser(userId: string, appserviceId: string | undefined): void {
    for (const appservice of this.all) {
      if (appservice.id !== appserviceId && appservice.reservesUser(userId))
        throw new MatrixError('M_EXCLUSIVE', 'This user ID is reserved by an application service')
    }
  }

  /** Refuses aliases of another service's exclusive namespace, and a service's aliases outside of its own. Throws M_EXCLUSIVE. */
  assertMayUseAlias(alias: string, appserviceId: string | undefined): void {
    const own = appserviceId === undefined ? undefined : this.withId(appserviceId)
    if (own && !own.ownsAlias(alias))
      throw new MatrixError('M_EXCLUSIVE', 'The alias is outside of the namespace of this application service')
    for (const appservice of this.all) {
      if (appservice !== own && appservice.reservesAlias(alias))
        throw new MatrixError('M_EXCLUSIVE', 'This alias is reserved by an application service')
    }
  }
}

function digest(token: string): string {
  return hash('sha256', token)
}
