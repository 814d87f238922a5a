import { serverNameOf } from '../../protocol/ids.ts'
import type { DeviceId, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import type { ClaimedKey, KeyClaim } from '../../storage/tables/one-time-keys.ts'
import {
  followRemoteUsers,
  getRemoteCrossSigningKeys,
  getRemoteDeviceLists,
  getRemoteDevices,
} from '../../storage/tables/remote-devices.ts'
import { FederationRequestError, NotRetryingDestination } from '../federation/federation-errors.ts'
import type { FederationRequester } from '../federation/federation-client.ts'
import type { Memberships } from '../rooms/memberships.ts'

const TIMEOUT_DEFAULT_MS = 10_000
const TIMEOUT_MAX_MS = 60_000
/** Servers asked at once for one request. */
const SERVERS_AT_ONCE = 20

/** Who failed us, by server name: what /keys/query and /keys/claim say in `failures`. */
export type RemoteFailures = Record<string, { readonly errcode: string; readonly error: string }>

/** Keys of users by kind. */
export interface RemoteKeySet {
  readonly devices: Map<UserId, Map<string, JsonObject>>
  readonly masterKeys: Map<UserId, JsonObject>
  readonly selfSigningKeys: Map<UserId, JsonObject>
}

/**
 * Gets keys of other servers' users: from the device lists that their servers keep us up to date with, where we share rooms with the
 * users, else by asking. Spec: server-server-api § End-to-End Encryption, user_keys.yaml.
 */
export class RemoteKeys {
  readonly #database: Database
  readonly #requests: FederationRequester
  readonly #memberships: Pick<Memberships, 'getJoinedRooms'>

  constructor(deps: { database: Database; requests: FederationRequester; memberships: Pick<Memberships, 'getJoinedRooms'> }) {
    this.#database = deps.database
    this.#requests = deps.requests
    this.#memberships = deps.memberships
  }

  /** Device and cross-signing keys of users: of all devices (an empty list) or of the named ones. */
  async query(
    wanted: ReadonlyMap<UserId, readonly string[]>,
    timeoutMs: number | undefined,
  ): Promise<{ readonly keys: RemoteKeySet; readonly failures: RemoteFailures }> {
    const keys: RemoteKeySet = { devices: new Map(), masterKeys: new Map(), selfSigningKeys: new Map() }
    const unknown = await this.#readKnown(wanted, keys)
    if (unknown.length === 0) return { keys, failures: {} }
    const failures = await this.#askServers(unknown, timeoutMs, async (userIds, request) => {
      const body = { device_keys: Object.fromEntries(userIds.map((userId) => [userId, [...(wanted.get(userId) ?? [])]])) }
      addAnswer(keys, userIds, wanted, await request('/_matrix/federation/v1/user/keys/query', body))
    })
    await this.#follow(unknown)
    return { keys, failures }
  }

  /** One one-time key for each claim that can be met; each is asked for once. */
  async claim(
    claims: readonly KeyClaim[],
    timeoutMs: number | undefined,
  ): Promise<{ readonly keys: ClaimedKey[]; readonly failures: RemoteFailures }> {
    const keys: ClaimedKey[] = []
    const byUser = Map.groupBy(claims, (claim) => claim.userId)
    const failures = await this.#askServers([...byUser.keys()], timeoutMs, async (userIds, request) => {
      const body = Object.fromEntries(
        userIds.map((userId) => [
          userId,
          Object.fromEntries((byUser.get(userId) ?? []).map(({ deviceId, algorithm }) => [deviceId, algorithm])),
        ]),
      )
      const answer = await request('/_matrix/federation/v1/user/keys/claim', { one_time_keys: body })
      for (const userId of userIds) for (const claim of byUser.get(userId) ?? []) keys.push(...claimedIn(answer, claim))
    })
    return { keys, failures }
  }

  /** Adds what is known up to date; returns the other users. */
  async #readKnown(wanted: ReadonlyMap<UserId, readonly string[]>, keys: RemoteKeySet): Promise<UserId[]> {
    const lists = await getRemoteDeviceLists(this.#database, [...wanted.keys()])
    const known = lists.filter((list) => !list.isStale).map((list) => list.userId)
    if (known.length > 0) {
      const [devices, crossSigningKeys] = await Promise.all([
        getRemoteDevices(this.#database, known),
        getRemoteCrossSigningKeys(this.#database, known),
      ])
      for (const userId of known) keys.devices.set(userId, new Map())
      for (const { userId, deviceId, keysJson, displayNameJson } of devices) {
        if (keysJson === null || !isWanted(wanted.get(userId), deviceId)) continue
        const unsigned = displayNameJson === null ? {} : { device_display_name: JSON.parse(displayNameJson) as JsonValue }
        keys.devices.get(userId)?.set(deviceId, { ...(JSON.parse(keysJson) as JsonObject), unsigned })
      }
      for (const { userId, usage, keyJson } of crossSigningKeys) {
        const target = usage === 'master' ? keys.masterKeys : keys.selfSigningKeys
        target.set(userId, JSON.parse(keyJson) as JsonObject)
      }
    }
    const isKnown = new Set(known)
    return [...wanted.keys()].filter((userId) => !isKnown.has(userId))
  }

  /** Has the lists of users who share a room with somebody here fetched and kept from now on. */
  async #follow(userIds: readonly UserId[]): Promise<void> {
    const sharing = await Promise.all(
      userIds.map(async (userId) => ((await this.#memberships.getJoinedRooms(userId)).length > 0 ? [userId] : [])),
    )
    if (sharing.flat().length > 0) await followRemoteUsers(this.#database, sharing.flat())
  }

  async #askServers(
    userIds: readonly UserId[],
    timeoutMs: number | undefined,
    ask: (userIds: readonly UserId[], request: (path: string, body: JsonObject) => Promise<unknown>) => Promise<void>,
  ): Promise<RemoteFailures> {
    const byServer = [...Map.groupBy(userIds, (userId) => serverNameOf(userId))]
    const failures: [string, { errcode: string; error: string }][] = []
    const limitMs = Math.max(1, Math.min(timeoutMs ?? TIMEOUT_DEFAULT_MS, TIMEOUT_MAX_MS))
    const next = async (): Promise<void> => {
      for (let entry = byServer.shift(); entry; entry = byServer.shift()) {
        const [server, users] = entry
        if (server === undefined) continue
        const request = (path: string, body: JsonObject): Promise<unknown> =>
          this.#requests.request({ destination: server, method: 'POST', path, body, timeoutMs: limitMs, retries: 'none' })
        try {
          await ask(users, request)
        } catch (error) {
          failures.push([server, describe(error)])
        }
      }
    }
    await Promise.all(Array.from({ length: SERVERS_AT_ONCE }, next))
    return Object.fromEntries(failures)
  }
}

function describe(error: unknown): { errcode: string; error: string } {
  // Anything else is a fault of ours, which the request must fail with.
  if (!(error instanceof FederationRequestError)) throw error
  if (error instanceof NotRetryingDestination) return { errcode: 'M_UNKNOWN', error: 'The server could not be reached lately' }
  return { errcode: error.errcode ?? 'M_UNKNOWN', error: 'The server did not answer as it should' }
}

function isWanted(deviceIds: readonly string[] | undefined, deviceId: string): boolean {
  return deviceIds !== undefined && (deviceIds.length === 0 || deviceIds.includes(deviceId))
}

/** Adds what a server says of its users; what it says of others, and of devices under other names, is left out. */
function addAnswer(
  keys: RemoteKeySet,
  userIds: readonly UserId[],
  wanted: ReadonlyMap<UserId, readonly string[]>,
  answer: unknown,
): void {
  for (const userId of userIds) {
    const devices = objectAt(objectAt(answer, 'device_keys'), userId)
    if (devices) {
      const own = Object.entries(devices).filter(
        ([deviceId, device]) =>
          isJsonObject(device) &&
          device['user_id'] === userId &&
          device['device_id'] === deviceId &&
          isWanted(wanted.get(userId), deviceId),
      )
      keys.devices.set(userId, new Map(own as [string, JsonObject][]))
    }
    const masterKey = objectAt(objectAt(answer, 'master_keys'), userId)
    if (masterKey?.['user_id'] === userId) keys.masterKeys.set(userId, masterKey)
    const selfSigningKey = objectAt(objectAt(answer, 'self_signing_keys'), userId)
    if (selfSigningKey?.['user_id'] === userId) keys.selfSigningKeys.set(userId, selfSigningKey)
  }
}

function claimedIn(answer: unknown, claim: KeyClaim): ClaimedKey[] {
  const device = objectAt(objectAt(objectAt(answer, 'one_time_keys'), claim.userId), claim.deviceId as DeviceId)
  for (const [id, key] of Object.entries(device ?? {})) {
    const [algorithm, keyId] = [id.slice(0, id.indexOf(':')), id.slice(id.indexOf(':') + 1)]
    if (algorithm === claim.algorithm && keyId !== '') return [{ ...claim, keyId, keyJson: JSON.stringify(key) }]
  }
  return []
}

function objectAt(value: unknown, key: string): JsonObject | undefined {
  const found = isJsonObject(value) && Object.hasOwn(value, key) ? value[key] : undefined
  return isJsonObject(found) ? found : undefined
}
