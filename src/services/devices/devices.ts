import { MatrixError } from '../../protocol/errors.ts'
import type { DeviceId, UserId } from '../../protocol/ids.ts'
import type { Database, Queryable } from '../../storage/database.ts'
import { deleteTokensOfDevices } from '../../storage/tables/access-tokens.ts'
import {
  deleteDeviceRows,
  getDevice,
  getDevicesOfUser,
  getDevicesOfUsers,
  insertDevice,
  updateDeviceName,
} from '../../storage/tables/devices.ts'
import type { DeviceRow } from '../../storage/tables/devices.ts'
import type { LaneCommitter } from '../../streams/lane-committer.ts'
import type { LastSeen } from './last-seen.ts'

/** Also Synapse's limit. */
export const DEVICE_NAME_CHARS_MAX = 100

/**
 * Deletes what hangs on devices (keys, messages, pushers …) within the transaction that deletes them. Must issue all of
 * its statements synchronously; it runs again when the transaction is tried again.
 */
export type DeleteDeviceHook = (tx: Queryable, userId: UserId, deviceIds: readonly DeviceId[]) => Promise<unknown>

/** Told when devices are gone. Must be idempotent. */
export type DevicesDeleted = (userId: UserId, deviceIds: readonly DeviceId[]) => Promise<unknown>

/**
 * Stores that the user's device list has changed, at `claimed_pos(device_lists, 0, index)`. Must issue its statements
 * synchronously.
 */
export type RecordDeviceListChange = (tx: Queryable, userId: UserId, index: number) => Promise<unknown>

/** A user's devices. Every change is committed together with its row of the stream `device_lists`. */
export class Devices {
  readonly #database: Database
  readonly #committer: LaneCommitter<'device_lists'>
  readonly #lastSeen: LastSeen
  readonly #recordChange: RecordDeviceListChange
  readonly #deleteHooks: readonly DeleteDeviceHook[]
  readonly #onDeleted: readonly DevicesDeleted[]
  /** What the statements of a transaction delete, until the commit that they are part of takes it over. */
  readonly #doomed = new WeakMap<Queryable, readonly DeviceId[]>()

  constructor(deps: {
    database: Database
    committer: LaneCommitter<'device_lists'>
    lastSeen: LastSeen
    recordChange: RecordDeviceListChange
    /** Read at each deletion: `assemble` may add to the list after this is made. */
    deleteHooks: readonly DeleteDeviceHook[]
    /** Read at each deletion, too. */
    onDeleted: readonly DevicesDeleted[]
  }) {
    this.#database = deps.database
    this.#committer = deps.committer
    this.#lastSeen = deps.lastSeen
    this.#recordChange = deps.recordChange
    this.#deleteHooks = deps.deleteHooks
    this.#onDeleted = deps.onDeleted
  }

  /** Commits what `write` issues (synchronously) together with the news that the user's devices have changed. */
  async commitChange(userId: UserId, write: (tx: Queryable) => Promise<unknown>): Promise<void> {
    let deleted: readonly DeviceId[] = []
    await this.#committer.commit({
      count: 1,
      write: (tx, index) => {
        const writing = write(tx)
        deleted = this.#doomed.get(tx) ?? []
        this.#doomed.delete(tx)
        return Promise.all([writing, this.#recordChange(tx, userId, index)])
      },
      rows: () => [{ userId }],
    })
    if (deleted.length > 0) for (const onDeleted of this.#onDeleted) await onDeleted(userId, deleted)
  }

  /** All devices of a user, oldest first. */
  async getAll(userId: UserId): Promise<DeviceRow[]> {
    await this.#lastSeen.flush()
    return getDevicesOfUser(this.#database, userId)
  }

  /** All devices of several users, in one query. */
  getOfUsers(userIds: readonly UserId[]): Promise<DeviceRow[]> {
    return getDevicesOfUsers(this.#database, userIds)
  }

  /** One device. Throws M_NOT_FOUND. */
  async get(userId: UserId, deviceId: DeviceId): Promise<DeviceRow> {
    await this.#lastSeen.flush()
    const device = await getDevice(this.#database, userId, deviceId)
    if (!device) throw new MatrixError('M_NOT_FOUND', 'No device found')
    return device
  }

  /** Makes a device without tokens. Returns false where it is there already. Throws M_TOO_LARGE. */
  async create(device: {
    readonly userId: UserId
    readonly deviceId: DeviceId
    readonly displayName: string | undefined
    readonly createdTsMs: number
  }): Promise<boolean> {
    if (device.displayName !== undefined) checkDeviceName(device.displayName)
    if (await getDevice(this.#database, device.userId, device.deviceId)) return false
    await this.commitChange(device.userId, (tx) => insertDevice(tx, device))
    return true
  }

  /** Renames a device; without a name nothing changes. Throws M_NOT_FOUND, M_TOO_LARGE. */
  async rename(userId: UserId, deviceId: DeviceId, displayName: string | undefined): Promise<void> {
    const device = await getDevice(this.#database, userId, deviceId)
    if (!device) throw new MatrixError('M_NOT_FOUND', 'No device found')
    if (displayName === undefined || displayName === device.displayName) return
    checkDeviceName(displayName)
    await this.commitChange(userId, (tx) => updateDeviceName(tx, userId, deviceId, displayName))
  }

  /** Deletes devices with their tokens, keys and waiting messages. Ids of no device are passed over. */
  async delete(userId: UserId, deviceIds: readonly DeviceId[]): Promise<void> {
    if (deviceIds.length === 0) return
    await this.commitChange(userId, (tx) => this.deleteWithin(tx, userId, deviceIds))
  }

  /** The statements of `delete`, for those who commit them together with others of theirs. */
  deleteWithin(tx: Queryable, userId: UserId, deviceIds: readonly DeviceId[]): Promise<unknown> {
    this.#doomed.set(tx, deviceIds)
    return Promise.all([
      // Devices before tokens: a refresh under way holds the device's row, and what it adds must be seen and deleted too.
      deleteDeviceRows(tx, userId, deviceIds),
      deleteTokensOfDevices(tx, userId, deviceIds),
      ...this.#deleteHooks.map((hook) => hook(tx, userId, deviceIds)),
    ])
  }
}

/** Checks a device's name. Throws M_TOO_LARGE, M_INVALID_PARAM. */
export function checkDeviceName(displayName: string): void {
  if (displayName.length > DEVICE_NAME_CHARS_MAX) {
    throw new MatrixError('M_TOO_LARGE', `Device display name is too long (max ${DEVICE_NAME_CHARS_MAX})`, { status: 400 })
  }
  if (displayName.includes('\u0000')) throw new MatrixError('M_INVALID_PARAM', 'Device display name contains U+0000')
}
