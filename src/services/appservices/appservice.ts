import type { AppserviceNamespace, AppserviceRegistration } from '../../config/appservices.ts'
import { makeUserId, serverNameOf } from '../../protocol/ids.ts'
import type { ServerName, UserId } from '../../protocol/ids.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'

const IDS_MAX = 50_000

/** An application service: its registration, and what it looks after. Spec: application-service-api § Registration. */
export class Appservice {
  readonly registration: AppserviceRegistration
  /** The user that it is itself. */
  readonly sender: UserId
  readonly #serverName: ServerName
  readonly #users = cacheOfEntries<string, { readonly isMatch: boolean; readonly isExclusive: boolean }>(IDS_MAX)

  constructor(registration: AppserviceRegistration, serverName: ServerName) {
    this.registration = registration
    this.#serverName = serverName
    this.sender = makeUserId(registration.senderLocalpart, serverName)
  }

  get id(): string {
    return this.registration.id
  }

  /** Tells whether a user of this server is the service itself, or one of its namespace. */
  ownsUser(userId: string): boolean {
    return userId === this.sender || this.#match(userId).isMatch
  }

  /** Tells whether nobody else may make that user. */
  reservesUser(userId: string): boolean {
    return userId === this.sender || this.#match(userId).isExclusive
  }

  ownsAlias(alias: string): boolean {
    return matchesAny(this.registration.namespaces.aliases, alias)
  }

  /** Tells whether nobody else may make that alias. */
  reservesAlias(alias: string): boolean {
    return this.registration.namespaces.aliases.some(({ pattern, isExclusive }) => isExclusive && pattern.matchesStart(alias))
  }

  watchesRoom(roomId: string): boolean {
    return matchesAny(this.registration.namespaces.rooms, roomId)
  }

  get watchesAliases(): boolean {
    return this.registration.namespaces.aliases.length > 0
  }

  #match(userId: string): { readonly isMatch: boolean; readonly isExclusive: boolean } {
    const known = this.#users.get(userId)
    if (known) return known
    const isOurs = serverNameOf(userId) === this.#serverName
    const found = isOurs ? this.registration.namespaces.users.filter(({ pattern }) => pattern.matchesStart(userId)) : []
    const match = { isMatch: found.length > 0, isExclusive: found.some(({ isExclusive }) => isExclusive) }
    this.#users.set(userId, match)
    return match
  }
}

function matchesAny(namespaces: readonly AppserviceNamespace[], id: string): boolean {
  return namespaces.some(({ pattern }) => pattern.matchesStart(id))
}
