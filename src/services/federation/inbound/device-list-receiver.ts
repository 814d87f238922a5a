import { MatrixError } from '../../../protocol/errors.ts'
import { isEventUserId, serverNameOf } from '../../../protocol/ids.ts'
import type { DeviceId, ServerName, UserId } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../../protocol/json.ts'
import type { Database } from '../../../storage/database.ts'
import {
  applyRemoteDeviceUpdate,
  deleteRemoteDeviceLists,
  findUnfollowedUsers,
  getRemoteDeviceLists,
  getStaleRemoteDeviceLists,
  markRemoteDeviceListsStale,
  postponeRemoteDeviceList,
  replaceRemoteDeviceList,
  upsertRemoteCrossSigningKeys,
} from '../../../storage/tables/remote-devices.ts'
import type { RemoteDeviceList, RemoteDeviceRow } from '../../../storage/tables/remote-devices.ts'
import { memberChangesOf } from '../../../streams/event-rows.ts'
import type { StreamHub } from '../../../streams/stream-hub.ts'
import type { Background } from '../../../util/background.ts'
import type { Clock } from '../../../util/clock.ts'
import type { Logger } from '../../../util/logger.ts'
import type { DeviceLists } from '../../encryption/device-lists.ts'
import type { Memberships } from '../../rooms/memberships.ts'
import type { FederationClient } from '../federation-client.ts'
import { FederationRequestError } from '../federation-errors.ts'
import type { RoomServers } from '../room-servers.ts'

const DEVICES_MAX = 1000
const KEYS_BYTES_MAX = 65_536
const NAME_BYTES_MAX = 255
const FETCHES_AT_A_TIME = 10
const TIMEOUT_MS = 30_000
const RETRY_FIRST_MS = 10_000
const RETRY_MAX_MS = 3600_000
const SWEEP_MS = 15_000
const SWEEP_USERS = 100

/** What following other servers' device lists needs. */
export interface DeviceListReceiverDeps {
  readonly database: Database
  readonly client: Pick<FederationClient, 'request'>
  readonly deviceLists: Pick<DeviceLists, 'commit'>
  readonly memberships: Pick<Memberships, 'getJoinedRooms'>
  readonly roomServers: Pick<RoomServers, 'isInRoom'>
  readonly hub: StreamHub
  readonly serverName: ServerName
  readonly background: Background
  readonly clock: Clock
  readonly logger: Logger
}

/**
 * Keeps the device lists of other servers' users: applies updates where they follow one another, and fetches the whole list where one was
 * missed. That a list is stale is stored before the update is acknowledged, so the fetch comes after any crash. Promise P7.
 * Spec: server-server-api § Device Management.
 */
export class DeviceListReceiver {
  readonly #deps: DeviceListReceiverDeps
  readonly #fetching = new Map<UserId, Promise<void>>()
  #sweepTimer: NodeJS.Timeout | undefined
  #hasLeavers = true

  constructor(deps: DeviceListReceiverDeps) {
    this.#deps = deps
    deps.hub.onRow('events', (row) => {
      // Whoever has left may share no room with us any more: then nobody tells us of their devices.
      if (this.#sweepTimer && memberChangesOf(row).some(({ membership }) => membership === 'leave' || membership === 'ban'))
        this.#hasLeavers = true
    })
    deps.hub.onReset('events', () => {
      this.#hasLeavers = true
    })
  }

  /** Fetches stale lists from now on: this process has the role. */
  start(): void {
    this.#hasLeavers = true
    this.#scheduleSweep(0)
  }

  stop(): void {
    clearTimeout(this.#sweepTimer)
    this.#sweepTimer = undefined
  }

  /** Applies m.device_list_update. */
  async receiveUpdate(origin: ServerName, content: JsonObject): Promise<void> {
    const { user_id: userId, stream_id: streamId } = content
    const device = readUpdate(content)
    if (!isUserOf(origin, userId) || typeof streamId !== 'number' || !Number.isSafeInteger(streamId) || !device)
      throw new MatrixError('M_BAD_JSON', 'The device list update is malformed')
    if (!(await this.#isFollowed(userId))) return
    const [list] = await getRemoteDeviceLists(this.#deps.database, [userId])
    if (list && !list.isStale && streamId <= list.streamId) return
    const previous = Array.isArray(content['prev_id']) ? content['prev_id'] : []
    const follows = list && !list.isStale && previous.every((id) => typeof id === 'number' && id <= list.streamId)
    const change = { userId, viewerId: undefined }
    if (follows) await this.#deps.deviceLists.commit([change], (tx) => applyRemoteDeviceUpdate(tx, { userId, streamId, device }))
    else await this.#markStale(userId)
  }

  /** Applies m.signing_key_update. */
  async receiveSigningKeys(origin: ServerName, content: JsonObject): Promise<void> {
    const { user_id: userId } = content
    if (!isUserOf(origin, userId)) throw new MatrixError('M_BAD_JSON', 'The signing key update is malformed')
    const keys = readCrossSigningKeys(userId, content)
    if (keys.length === 0 || !(await this.#isFollowed(userId))) return
    const [list] = await getRemoteDeviceLists(this.#deps.database, [userId])
    if (!list || list.isStale) await this.#markStale(userId)
    else
      await this.#deps.deviceLists.commit([{ userId, viewerId: undefined }], (tx) =>
        upsertRemoteCrossSigningKeys(tx, userId, keys),
      )
  }

  /** Notes that lists are not true any more, and fetches them soon: users came into our sight, or may have changed meanwhile. */
  async #markStale(userId: UserId): Promise<void> {
    await this.#deps.deviceLists.commit([{ userId, viewerId: undefined }], (tx) => markRemoteDeviceListsStale(tx, [userId]))
    this.#deps.background.run('fetch a device list', () => this.#fetch(userId, 0))
  }

  /** Whose updates matter: whoever is in a room with one of us. */
  async #isFollowed(userId: UserId): Promise<boolean> {
    const { memberships, roomServers, serverName } = this.#deps
    for (const roomId of await memberships.getJoinedRooms(userId)) if (await roomServers.isInRoom(serverName, roomId)) return true
    return false
  }

  #fetch(userId: UserId, attempts: number): Promise<void> {
    const running = this.#fetching.get(userId)
    if (running) return running
    const starting = this.#fetchNow(userId, attempts).finally(() => this.#fetching.delete(userId))
    this.#fetching.set(userId, starting)
    return starting
  }

  async #fetchNow(userId: UserId, attempts: number): Promise<void> {
    const { database, client, clock, logger, deviceLists } = this.#deps
    const destination = serverNameOf(userId)
    if (destination === undefined) return
    if (!(await this.#isFollowed(userId))) return deleteRemoteDeviceLists(database, [userId])
    try {
      const path = `/_matrix/federation/v1/user/devices/${encodeURIComponent(userId)}`
      // Who has just sent an update is there.
      const isBackoffIgnored = attempts === 0
      const answer = await client.request({ destination, method: 'GET', path, timeoutMs: TIMEOUT_MS, isBackoffIgnored })
      const list = readList(userId, answer)
      if (!list) throw new FederationRequestError(destination, 'answered with no device list', { isRetryable: false })
      await deviceLists.commit([{ userId, viewerId: undefined }], (tx) => replaceRemoteDeviceList(tx, list))
    } catch (error) {
      if (!(error instanceof FederationRequestError)) throw error
      logger.info('a device list could not be fetched', { user: userId, error })
      const delayMs = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** attempts)
      await postponeRemoteDeviceList(database, userId, clock.nowMs() + delayMs)
    }
  }

  #scheduleSweep(delayMs: number): void {
    this.#sweepTimer = setTimeout(() => {
      this.#deps.background.run('fetch stale device lists', async () => {
        try {
          await this.#sweep()
        } finally {
          if (this.#sweepTimer) this.#scheduleSweep(SWEEP_MS)
        }
      })
    }, delayMs).unref()
  }

  async #sweep(): Promise<void> {
    const { database, clock, serverName } = this.#deps
    if (this.#hasLeavers) {
      this.#hasLeavers = false
      await deleteRemoteDeviceLists(database, await findUnfollowedUsers(database, serverName))
    }
    const stale = await getStaleRemoteDeviceLists(database, { nowMs: clock.nowMs(), limit: SWEEP_USERS })
    const work = async (): Promise<void> => {
      for (let one = stale.pop(); one && this.#sweepTimer; one = stale.pop()) await this.#fetch(one.userId, one.attempts)
    }
    await Promise.all(Array.from({ length: FETCHES_AT_A_TIME }, work))
  }
}

function isUserOf(origin: ServerName, userId: unknown): userId is UserId {
  return isEventUserId(userId) && serverNameOf(userId) === origin
}

function readUpdate(content: JsonObject): Omit<RemoteDeviceRow, 'userId'> | { deleted: DeviceId } | undefined {
  const { device_id: deviceId, deleted, keys, device_display_name: name } = content
  if (!isDeviceId(deviceId)) return undefined
  if (deleted === true) return { deleted: deviceId }
  return readDevice(deviceId, keys, name)
}

function readDevice(
  deviceId: DeviceId,
  keys: JsonValue | undefined,
  name: JsonValue | undefined,
): Omit<RemoteDeviceRow, 'userId'> | undefined {
  const keysJson = isJsonObject(keys) ? JSON.stringify(keys) : null
  if (keysJson !== null && keysJson.length > KEYS_BYTES_MAX) return undefined
  const displayNameJson = typeof name === 'string' && name.length <= KEYS_BYTES_MAX ? JSON.stringify(name) : null
  return { deviceId, keysJson, displayNameJson }
}

function readCrossSigningKeys(userId: UserId, content: JsonObject): RemoteDeviceList['crossSigningKeys'] {
  return (['master', 'self_signing'] as const).flatMap((usage) => {
    const key = content[`${usage}_key`]
    if (!isJsonObject(key) || key['user_id'] !== userId || !isJsonObject(key['keys'])) return []
    const [publicKey] = Object.values(key['keys'])
    const keyJson = JSON.stringify(key)
    if (typeof publicKey !== 'string' || publicKey.includes('\u0000') || keyJson.length > KEYS_BYTES_MAX) return []
    return [{ usage, publicKey, keyJson }]
  })
}

function readList(userId: UserId, answer: unknown): RemoteDeviceList | undefined {
  if (!isJsonObject(answer) || answer['user_id'] !== userId || !Array.isArray(answer['devices'])) return undefined
  const { stream_id: streamId } = answer
  if (typeof streamId !== 'number' || !Number.isSafeInteger(streamId)) return undefined
  const devices = new Map<DeviceId, Omit<RemoteDeviceRow, 'userId'>>()
  for (const one of answer['devices'].slice(0, DEVICES_MAX) as readonly JsonValue[]) {
    if (!isJsonObject(one) || !isDeviceId(one['device_id'])) continue
    const device = readDevice(one['device_id'], one['keys'], one['device_display_name'])
    if (device) devices.set(device.deviceId, device)
  }
  return { userId, streamId, devices: [...devices.values()], crossSigningKeys: readCrossSigningKeys(userId, answer) }
}

function isDeviceId(value: unknown): value is DeviceId {
  return (
    typeof value === 'string' &&
    value !== '' &&
    !value.includes('\u0000') &&
    value.isWellFormed() &&
    Buffer.byteLength(value) <= NAME_BYTES_MAX
  )
}
