import { invalidParam, MatrixError } from '../../protocol/errors.ts'
import { parseDeviceId } from '../../protocol/ids.ts'
import type { DeviceId, UserId } from '../../protocol/ids.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { getDehydratedDevice, upsertDehydratedDevice } from '../../storage/tables/dehydrated-devices.ts'
import type { DehydratedDeviceRow } from '../../storage/tables/dehydrated-devices.ts'
import { upsertDeviceKeys } from '../../storage/tables/device-keys.ts'
import { getDevice, insertDevice } from '../../storage/tables/devices.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { Clock } from '../../util/clock.ts'
import type { Devices } from '../devices/devices.ts'
import { checkDeviceName } from '../devices/devices.ts'
import type { ToDeviceInbox } from '../to-device/to-device-inbox.ts'
import type { DeviceKeyStore } from './device-key-store.ts'
import type { DeviceLists } from './device-lists.ts'
import { parseKeyUpload } from './key-upload.ts'

const DEVICE_DATA_BYTES_MAX = 262_144

export interface DehydratedEvents {
  /** Serialised JSON of `{type, sender, content}`. */
  readonly events: readonly string[]
  readonly nextBatch: string
  /** More are waiting. */
  readonly isLimited: boolean
}

/** Keeps, for each user, one device that is asleep and collects messages until a real one takes it over. MSC3814. */
export class DehydratedDevices {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #clock: Clock
  readonly #devices: Pick<Devices, 'delete'>
  readonly #deviceLists: DeviceLists
  readonly #deviceKeys: DeviceKeyStore
  readonly #inbox: ToDeviceInbox

  constructor(deps: {
    database: Database
    hub: StreamHub
    clock: Clock
    devices: Pick<Devices, 'delete'>
    deviceLists: DeviceLists
    deviceKeys: DeviceKeyStore
    inbox: ToDeviceInbox
  }) {
    this.#database = deps.database
    this.#hub = deps.hub
    this.#clock = deps.clock
    this.#devices = deps.devices
    this.#deviceLists = deps.deviceLists
    this.#deviceKeys = deps.deviceKeys
    this.#inbox = deps.inbox
  }

  /** The user's dehydrated device. Throws M_NOT_FOUND. */
  async get(userId: UserId): Promise<DehydratedDeviceRow> {
    const device = await getDehydratedDevice(this.#database, userId)
    if (!device) throw new MatrixError('M_NOT_FOUND', 'No dehydrated device available')
    return device
  }

  /**
   * Makes the user's dehydrated device with its keys; one that was there is deleted with all it had. Throws M_INVALID_PARAM,
   * M_BAD_JSON.
   */
  async put(
    userId: UserId,
    device: {
      readonly deviceId: string
      readonly deviceData: JsonObject
      readonly displayName: string | undefined
      readonly keys: JsonObject
    },
  ): Promise<DeviceId> {
    const deviceId = parseDeviceId(device.deviceId)
    const deviceData = JSON.stringify(device.deviceData)
    if (Buffer.byteLength(deviceData) > DEVICE_DATA_BYTES_MAX) throw new MatrixError('M_TOO_LARGE', 'device_data is too large')
    if (device.displayName !== undefined) checkDeviceName(device.displayName)
    const { deviceKeysJson } = parseKeyUpload(device.keys, { userId, deviceId })
    if (deviceKeysJson === undefined) throw new MatrixError('M_MISSING_PARAM', 'Missing parameter: device_keys')
    const old = await getDehydratedDevice(this.#database, userId)
    if (old?.deviceId !== deviceId && (await getDevice(this.#database, userId, deviceId)))
      throw invalidParam('There is another device with this ID')
    if (old) await this.#devices.delete(userId, [old.deviceId])
    await this.#deviceLists.commit([{ userId, viewerId: undefined }], (tx) =>
      Promise.all([
        insertDevice(tx, { userId, deviceId, displayName: device.displayName, createdTsMs: this.#clock.nowMs() }),
        upsertDeviceKeys(tx, { userId, deviceId, keysJson: deviceKeysJson }),
        upsertDehydratedDevice(tx, { userId, deviceId, deviceData }),
      ]),
    )
    await this.#deviceKeys.upload({ userId, deviceId }, oneTimeKeysOf(device.keys))
    return deviceId
  }

  /** Deletes the user's dehydrated device; returns its id. Throws M_NOT_FOUND. */
  async delete(userId: UserId): Promise<DeviceId> {
    const { deviceId } = await this.get(userId)
    await this.#devices.delete(userId, [deviceId])
    return deviceId
  }

  /**
   * Messages for the dehydrated device, behind those of the page before. They stay until it is deleted. Throws M_FORBIDDEN,
   * M_INVALID_PARAM.
   */
  async getEvents(
    userId: UserId,
    deviceId: string,
    page: { readonly from: string | undefined; readonly limit: number },
  ): Promise<DehydratedEvents> {
    const device = await getDehydratedDevice(this.#database, userId)
    if (device?.deviceId !== deviceId)
      throw new MatrixError('M_FORBIDDEN', 'You may only fetch messages for your dehydrated device')
    const after = parseBatch(page.from)
    const upTo = this.#hub.head('to_device')
    const { events, upTo: reached } = await this.#inbox.getMessages({
      userId,
      deviceId: device.deviceId,
      after,
      upTo,
      limit: page.limit,
    })
    return { events, nextBatch: `d${reached}`, isLimited: reached < upTo }
  }
}

function oneTimeKeysOf(keys: JsonObject): JsonObject {
  const out: Record<string, JsonValue> = {}
  for (const name of ['one_time_keys', 'fallback_keys']) if (keys[name] !== undefined) out[name] = keys[name]
  return out
}

/** Batches are `d` and a position, as Synapse writes them. */
function parseBatch(from: string | undefined): StreamPosition {
  if (from === undefined) return 0 as StreamPosition
  const position = /^d[0-9]{1,16}$/.test(from) ? Number(from.slice(1)) : Number.NaN
  if (!Number.isSafeInteger(position)) throw invalidParam('The batch has an invalid format')
  return position as StreamPosition
}
