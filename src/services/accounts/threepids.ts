import { MatrixError } from '../../protocol/errors.ts'
import type { UserId } from '../../protocol/ids.ts'
import { parseThreepid } from '../../protocol/third-party-ids.ts'
import type { Database } from '../../storage/database.ts'
import { isUniqueViolation } from '../../storage/database.ts'
import {
  deleteThreepidBinding,
  deleteThreepidSessions,
  getThreepidBindings,
  insertThreepidBinding,
} from '../../storage/tables/threepid-sessions.ts'
import { deleteThreepid, insertThreepids } from '../../storage/tables/users.ts'
import type { Clock } from '../../util/clock.ts'
import type { IdentityServerAccess, IdentityServers } from './identity-servers.ts'
import type { ThreepidValidation } from './threepid-validation.ts'

interface Session {
  readonly sid: string
  readonly clientSecret: string
}
interface Threepid {
  readonly medium: string
  readonly address: string
}

/** What else goes when an account loses an address. Must be idempotent. */
export type OnThreepidRemoved = (userId: UserId, threepid: Threepid) => Promise<void>

/** E-mail addresses and phone numbers of accounts, here and at identity servers. Spec: administrative_contact.yaml. */
export class Threepids {
  readonly #database: Database
  readonly #clock: Clock
  readonly #validation: ThreepidValidation
  readonly #identityServers: IdentityServers
  readonly #mayChange: boolean
  readonly #onRemoved: readonly OnThreepidRemoved[]

  constructor(deps: {
    database: Database
    clock: Clock
    validation: ThreepidValidation
    identityServers: IdentityServers
    /** Option `enable_3pid_changes`. */
    mayChange: boolean
    /** Read at each removal: `assemble` may add to the list after this is made. */
    onRemoved: readonly OnThreepidRemoved[]
  }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#validation = deps.validation
    this.#identityServers = deps.identityServers
    this.#mayChange = deps.mayChange
    this.#onRemoved = deps.onRemoved
  }

  /** Throws M_FORBIDDEN (400) where people may not change their addresses. */
  assertChangeable(): void {
    if (!this.#mayChange) throw new MatrixError('M_FORBIDDEN', 'Addresses can not be changed on this server', { status: 400 })
  }

  /** Adds a proven address to an account. Idempotent. Throws M_THREEPID_AUTH_FAILED, M_THREEPID_DENIED, M_THREEPID_IN_USE. */
  async add(userId: UserId, session: Session): Promise<void> {
    this.assertChangeable()
    const proven = await this.#validation.getProven('add_threepid', session)
    this.#validation.assertAllowed(proven)
    try {
      await this.#database.transaction('add_threepid', async (tx) => {
        await insertThreepids(tx, userId, [proven], this.#clock.nowMs())
        await deleteThreepidSessions(tx, [proven.sid])
      })
    } catch (error) {
      if (isUniqueViolation(error))
        throw new MatrixError('M_THREEPID_IN_USE', 'An account has this address already', { cause: error })
      throw error
    }
  }

  /** Has an identity server know an address as the user's, and remembers that. Throws what the identity server says. */
  async bind(userId: UserId, access: IdentityServerAccess, session: Session): Promise<void> {
    const { medium, address } = await this.#identityServers.bind(access, session, userId)
    await insertThreepidBinding(this.#database, { userId, medium, address, idServer: access.idServer })
  }

  /**
   * Has identity servers forget an address: the given one, else those that we know of. Returns whether all of them, and at least one,
   * have. Throws M_INVALID_PARAM, 502 M_UNKNOWN.
   */
  async unbind(userId: UserId, named: Threepid, idServer: string | undefined): Promise<boolean> {
    const threepid = { medium: named.medium, address: parseThreepid(named.medium, named.address) }
    const known = await getThreepidBindings(this.#database, userId, threepid)
    const idServers = idServer === undefined ? known.map((binding) => binding.idServer) : [idServer]
    let isUnbound = idServers.length > 0
    for (const one of idServers) {
      if (!(await this.#identityServers.unbind(one, userId, threepid))) isUnbound = false
      await deleteThreepidBinding(this.#database, { userId, ...threepid, idServer: one })
    }
    return isUnbound
  }

  /** Takes an address away from an account, and unbinds it. Idempotent. Returns like `unbind`. */
  async delete(userId: UserId, named: Threepid, idServer: string | undefined): Promise<boolean> {
    this.assertChangeable()
    const threepid = { medium: named.medium, address: parseThreepid(named.medium, named.address) }
    const isUnbound = await this.unbind(userId, threepid, idServer)
    await deleteThreepid(this.#database, userId, threepid)
    for (const onRemoved of this.#onRemoved) await onRemoved(userId, threepid)
    return isUnbound
  }

  /** Has identity servers forget all addresses of an account that is about to be closed. Returns whether all have. */
  async unbindAll(userId: UserId): Promise<boolean> {
    let isUnbound = true
    for (const { idServer, ...threepid } of await getThreepidBindings(this.#database, userId)) {
      try {
        if (!(await this.unbind(userId, threepid, idServer))) isUnbound = false
      } catch (error) {
        // The account is closed whoever else fails.
        if (!(error instanceof MatrixError)) throw error
        isUnbound = false
      }
    }
    return isUnbound
  }
}
