import { MatrixError } from '../../protocol/errors.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { ServerName, UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { getDeviceListPosition } from '../../storage/tables/device-lists.ts'
import type { KeyQuery, KeyQueryResult } from '../encryption/key-query.ts'

/** A user's devices with identity keys, as another server caches them. Spec: server-server-api user_devices.yaml. */
export interface DeviceList {
  readonly user_id: UserId
  readonly stream_id: number
  readonly devices: readonly { readonly device_id: string; readonly keys: JsonObject; readonly device_display_name?: string }[]
  readonly master_key?: JsonObject
  readonly self_signing_key?: JsonObject
}

/** Tells other servers of our users' devices. Option allow_device_name_lookup_over_federation says whether with their names. */
export class DeviceServer {
  readonly #database: Database
  readonly #keyQuery: KeyQuery
  readonly #serverName: ServerName
  readonly #showsNames: boolean

  constructor(deps: { database: Database; keyQuery: KeyQuery; serverName: ServerName; showsNames: boolean }) {
    this.#database = deps.database
    this.#keyQuery = deps.keyQuery
    this.#serverName = deps.serverName
    this.#showsNames = deps.showsNames
  }

  /** All devices of one user. Throws M_NOT_FOUND where there is no such user here. */
  async getDevices(userId: UserId): Promise<DeviceList> {
    if (serverNameOf(userId) !== this.#serverName) throw new MatrixError('M_NOT_FOUND', 'The user is not of this server')
    // The number before the keys: what changes between is told to the other server again.
    const position = await getDeviceListPosition(this.#database, userId)
    const keys = await this.query(new Map([[userId, []]]))
    const devices = keys.device_keys[userId]
    if (!devices) throw new MatrixError('M_NOT_FOUND', 'User not found')
    const masterKey = keys.master_keys[userId]
    const selfSigningKey = keys.self_signing_keys[userId]
    return {
      user_id: userId,
      stream_id: position,
      devices: Object.entries(devices).map(([deviceId, { unsigned, ...deviceKeys }]) => {
        const name = (unsigned as JsonObject | undefined)?.['device_display_name']
        return {
          device_id: deviceId,
          keys: deviceKeys as JsonObject,
          ...(typeof name === 'string' ? { device_display_name: name } : {}),
        }
      }),
      ...(masterKey === undefined ? {} : { master_key: masterKey }),
      ...(selfSigningKey === undefined ? {} : { self_signing_key: selfSigningKey }),
    }
  }

  /** Device and cross-signing keys of some of our users; of all devices, or of the named ones. */
  query(
    wanted: ReadonlyMap<string, readonly string[]>,
  ): Promise<Pick<KeyQueryResult, 'device_keys' | 'master_keys' | 'self_signing_keys'>> {
    return this.#keyQuery.queryForServer(wanted, { showsNames: this.#showsNames })
  }
}
