import { MatrixError } from '../../protocol/errors.ts'
import type { RoomId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { deleteAppserviceRoom, insertAppserviceRoom } from '../../storage/tables/appservices.ts'
import type { Requester } from '../accounts/requester.ts'
import type { Appservice } from './appservice.ts'
import type { AppserviceClient } from './appservice-client.ts'
import type { Appservices } from './appservices.ts'

type Query = readonly (readonly [string, string])[]

/** Asks application services on behalf of clients: for what they could make, for third-party networks, and whether they are there. */
export class AppserviceQueries {
  readonly #database: Database
  readonly #appservices: Appservices
  readonly #client: AppserviceClient

  constructor(deps: { database: Database; appservices: Appservices; client: AppserviceClient }) {
    this.#database = deps.database
    this.#appservices = deps.appservices
    this.#client = deps.client
  }

  /** Tells whether a service has just made the user. */
  async makesUser(userId: string): Promise<boolean> {
    for (const appservice of this.#appservices.all)
      if (appservice.ownsUser(userId) && (await this.#client.knows(appservice, 'users', userId))) return true
    return false
  }

  /** Tells whether a service has just made the alias. */
  async makesAlias(alias: string): Promise<boolean> {
    for (const appservice of this.#appservices.all)
      if (appservice.ownsAlias(alias) && (await this.#client.knows(appservice, 'rooms', alias))) return true
    return false
  }

  /** The networks that are bridged, each with the instances of all services. Spec: third_party_lookup.yaml. */
  async getProtocols(): Promise<Record<string, JsonObject>> {
    const names = [...new Set(this.#appservices.all.flatMap(({ registration }) => registration.protocols))]
    const found = await Promise.all(names.map(async (name) => [name, await this.#findProtocol(name)] as const))
    return Object.fromEntries(found.flatMap(([name, protocol]) => (protocol ? [[name, protocol]] : [])))
  }

  /** Throws M_NOT_FOUND. */
  async getProtocol(name: string): Promise<JsonObject> {
    const protocol = await this.#findProtocol(name)
    if (!protocol) throw new MatrixError('M_NOT_FOUND', 'No third-party network knows this')
    return protocol
  }

  async #findProtocol(name: string): Promise<JsonObject | undefined> {
    const asked = this.#appservices.all.filter(({ registration }) => registration.protocols.includes(name))
    const answers = await Promise.all(
      asked.map(async (appservice) => {
        const answer = await this.#client.askThirdParty(appservice, `protocol/${encodeURIComponent(name)}`, [])
        return isJsonObject(answer) ? withInstanceIds(appservice, answer) : undefined
      }),
    )
    const known = answers.filter((answer) => answer !== undefined)
    const [first] = known
    if (!first) return undefined
    return { ...first, instances: known.flatMap((answer) => (Array.isArray(answer['instances']) ? answer['instances'] : [])) }
  }

  /** Users or locations of one network, by fields that its services know. Throws M_NOT_FOUND. */
  async findInProtocol(kind: 'user' | 'location', protocol: string, fields: Query): Promise<JsonObject[]> {
    const asked = this.#appservices.all.filter(({ registration }) => registration.protocols.includes(protocol))
    if (asked.length === 0) throw new MatrixError('M_NOT_FOUND', 'No third-party network knows this')
    return this.#collect(asked, `${kind}/${encodeURIComponent(protocol)}`, fields)
  }

  /** What stands behind a user or alias. Throws M_NOT_FOUND. */
  async findBehind(kind: 'user' | 'location', query: Query): Promise<JsonObject[]> {
    const asked = this.#appservices.all.filter(({ registration }) => registration.protocols.length > 0)
    const found = await this.#collect(asked, kind, query)
    if (found.length === 0) throw new MatrixError('M_NOT_FOUND', 'No third-party network knows this')
    return found
  }

  async #collect(asked: readonly Appservice[], path: string, query: Query): Promise<JsonObject[]> {
    const answers = await Promise.all(asked.map((appservice) => this.#client.askThirdParty(appservice, path, query)))
    return answers.flatMap((answer) => (Array.isArray(answer) ? (answer as unknown[]).filter((one) => isJsonObject(one)) : []))
  }

  /** Asks the service itself whether it hears us. Throws M_FORBIDDEN and what AppserviceClient.ping throws. Spec: appservice_ping.yaml. */
  async ping(requester: Requester, appserviceId: string, transactionId: string | undefined): Promise<number> {
    const appservice = this.#appservices.withId(appserviceId)
    if (!appservice || requester.appserviceId !== appserviceId)
      throw new MatrixError('M_FORBIDDEN', "Provided access token is not the appservice's as_token")
    return this.#client.ping(appservice, transactionId)
  }

  /** Shows or hides a room in the list of a network. Throws M_FORBIDDEN. Spec: appservice_room_directory.yaml. */
  async setVisibility(
    requester: Requester,
    room: { readonly networkId: string; readonly roomId: RoomId; readonly isVisible: boolean },
  ): Promise<void> {
    const { appserviceId } = requester
    if (appserviceId === undefined) throw new MatrixError('M_FORBIDDEN', 'Only application services may do this')
    const { networkId, roomId } = room
    await (room.isVisible ? insertAppserviceRoom : deleteAppserviceRoom)(this.#database, { appserviceId, networkId, roomId })
  }
}

/** Clients ask for the rooms of an instance by this id. */
function withInstanceIds(appservice: Appservice, protocol: JsonObject): JsonObject {
  const instances = Array.isArray(protocol['instances']) ? (protocol['instances'] as unknown[]) : []
  return {
    ...protocol,
    instances: instances.flatMap((instance) => {
      if (!isJsonObject(instance)) return []
      const { network_id: networkId } = instance
      return [{ ...instance, ...(typeof networkId === 'string' ? { instance_id: `${appservice.id}|${networkId}` } : {}) }]
    }),
  }
}
