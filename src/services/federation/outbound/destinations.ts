import { MatrixError } from '../../../protocol/errors.ts'
import type { ServerName } from '../../../protocol/ids.ts'
import type { Database } from '../../../storage/database.ts'
import { getDestination, getDestinations, getRoomsOfDestination } from '../../../storage/tables/destinations.ts'
import type { DestinationOrder, DestinationRecord } from '../../../storage/tables/destinations.ts'
import type { DestinationBackoff } from '../destination-backoff.ts'

/** Part of a list. */
interface Page {
  readonly isReversed: boolean
  readonly offset: number
  readonly limit: number
}

/** Shows administrators how other servers are reached, and has them tried again. As Synapse: admin API § Federation. */
export class Destinations {
  readonly #database: Database
  readonly #backoff: DestinationBackoff
  readonly #serverName: ServerName

  constructor(deps: { database: Database; backoff: DestinationBackoff; serverName: ServerName }) {
    this.#database = deps.database
    this.#backoff = deps.backoff
    this.#serverName = deps.serverName
  }

  /** A page of all servers that something was ever sent to. */
  list(page: Page & { readonly orderBy: DestinationOrder }): Promise<{ destinations: DestinationRecord[]; total: number }> {
    return getDestinations(this.#database, page)
  }

  /** One of them. Throws M_NOT_FOUND. */
  async get(destination: string): Promise<DestinationRecord> {
    const found = await getDestination(this.#database, destination)
    if (!found) throw new MatrixError('M_NOT_FOUND', 'Unknown destination')
    return found
  }

  /** A page of the rooms that it is in. Throws M_NOT_FOUND. */
  async getRooms(destination: string, page: Page): Promise<{ rooms: { roomId: string; position: number }[]; total: number }> {
    await this.get(destination)
    return getRoomsOfDestination(this.#database, { destination, serverName: this.#serverName, ...page })
  }

  /** Ends the pause after failures: what waits is tried at once. Throws M_NOT_FOUND; M_UNKNOWN (400) where there is no pause. */
  async reset(destination: string): Promise<void> {
    const { destination: name, retryLastTsMs } = await this.get(destination)
    if (retryLastTsMs === 0)
      throw new MatrixError('M_UNKNOWN', 'The retry timing does not need to be reset for this destination.', { status: 400 })
    await this.#backoff.recordSuccess(name)
  }
}
