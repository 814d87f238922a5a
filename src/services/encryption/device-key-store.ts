import { MatrixError } from '../../protocol/errors.ts'
import { isValidUserId, serverNameOf } from '../../protocol/ids.ts'
import type { DeviceId, ServerName, UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { insertCacheInvalidation } from '../../storage/tables/cache-invalidations.ts'
import { getDeviceKeysJson, upsertDeviceKeys } from '../../storage/tables/device-keys.ts'
import { claimKeys, deleteClaimedKeysBefore, insertOneTimeKeys, upsertFallbackKeys } from '../../storage/tables/one-time-keys.ts'
import type { ClaimedKey, KeyClaim } from '../../storage/tables/one-time-keys.ts'
import type { LaneCommitter } from '../../streams/lane-committer.ts'
import type { Clock } from '../../util/clock.ts'
import type { DeviceLists } from './device-lists.ts'
import { KEY_COUNTS_CACHE, keyCountsKey } from './key-counts.ts'
import type { KeyCounts } from './key-counts.ts'
import { parseKeyUpload } from './key-upload.ts'
import type { KeyUpload } from './key-upload.ts'
import type { RemoteFailures, RemoteKeys } from './remote-keys.ts'

const CLAIMS_MAX = 10_000
const ONE_TIME_KEYS_PER_DEVICE_MAX = 5000
/** A client whose upload was answered too late may repeat it when it is started again, much later. */
const CLAIMED_KEY_RETENTION_MS = 30 * 24 * 3600 * 1000

/** Splits users into ours and those of other servers. */
export function splitByServer(userIds: Iterable<UserId>, ownServer: ServerName): { local: Set<UserId>; remote: UserId[] } {
  const local = new Set<UserId>()
  const remote: UserId[] = []
  for (const userId of userIds) {
    const serverName = serverNameOf(userId)
    if (serverName === ownServer) local.add(userId)
    else if (serverName !== undefined) remote.push(userId)
  }
  return { local, remote }
}

/** Takes in devices' keys and hands one-time keys out, each once on all processes. Promise P6. */
export class DeviceKeyStore {
  readonly #database: Database
  readonly #committer: LaneCommitter<'caches'>
  readonly #deviceLists: DeviceLists
  readonly #keyCounts: KeyCounts
  readonly #clock: Clock
  readonly #serverName: ServerName
  readonly #remoteKeys: RemoteKeys

  constructor(deps: {
    database: Database
    committer: LaneCommitter<'caches'>
    deviceLists: DeviceLists
    keyCounts: KeyCounts
    clock: Clock
    serverName: ServerName
    remoteKeys: RemoteKeys
  }) {
    this.#database = deps.database
    this.#committer = deps.committer
    this.#deviceLists = deps.deviceLists
    this.#keyCounts = deps.keyCounts
    this.#clock = deps.clock
    this.#serverName = deps.serverName
    this.#remoteKeys = deps.remoteKeys
  }

  /**
   * Stores what a device uploads and returns its counts. Idempotent. Throws M_BAD_JSON, M_TOO_LARGE; M_INVALID_PARAM where a
   * one-time key is there already with another value, and then none of them is stored. Spec: POST /keys/upload.
   */
  async upload(
    device: { readonly userId: UserId; readonly deviceId: DeviceId },
    body: JsonObject,
  ): Promise<Readonly<Record<string, number>>> {
    const upload = parseKeyUpload(body, device)
    if (upload.deviceKeysJson !== undefined) await this.#storeDeviceKeys(device, upload.deviceKeysJson)
    if (upload.oneTimeKeys.length > 0 || upload.fallbackKeys.length > 0) await this.#storeKeys(device, upload)
    return (await this.#keyCounts.get(device)).oneTimeKeyCounts
  }

  async #storeDeviceKeys(device: { readonly userId: UserId; readonly deviceId: DeviceId }, keysJson: string): Promise<void> {
    const known = await getDeviceKeysJson(this.#database, device.userId, device.deviceId)
    if (known === keysJson) return
    const isStored = await this.#deviceLists.commit([{ userId: device.userId, viewerId: undefined }], (tx) =>
      upsertDeviceKeys(tx, { ...device, keysJson }),
    )
    if (isStored !== true) throw new MatrixError('M_UNKNOWN_TOKEN', 'The device was logged out')
  }

  async #storeKeys(device: { readonly userId: UserId; readonly deviceId: DeviceId }, upload: KeyUpload): Promise<void> {
    const { oneTimeKeyCounts } = await this.#keyCounts.get(device)
    const held = Object.values(oneTimeKeyCounts).reduce((sum, count) => sum + count, 0)
    if (held + upload.oneTimeKeys.length > ONE_TIME_KEYS_PER_DEVICE_MAX)
      throw new MatrixError('M_TOO_LARGE', 'The device has too many one-time keys')
    const nowMs = this.#clock.nowMs()
    const cacheRow = { cache: KEY_COUNTS_CACHE, keys: [keyCountsKey(device.userId, device.deviceId)] }
    const { result: conflicts } = await this.#committer.commit({
      count: 1,
      write: async (tx, index) => {
        const [conflicting] = await Promise.all([
          insertOneTimeKeys(tx, { ...device, keys: upload.oneTimeKeys }),
          upsertFallbackKeys(tx, { ...device, keys: upload.fallbackKeys }),
          deleteClaimedKeysBefore(tx, { ...device, tsMs: nowMs - CLAIMED_KEY_RETENTION_MS }),
          insertCacheInvalidation(tx, index, { ...cacheRow, createdTsMs: nowMs }),
        ])
        return conflicting
      },
      rows: () => [cacheRow],
    })
    if (conflicts.length > 0)
      throw new MatrixError('M_INVALID_PARAM', `One-time key ${conflicts[0]} already exists with another value`)
  }

  /** Hands out one key for each claim that can be met, of users here only. Spec: POST /user/keys/claim. */
  async claim(claims: readonly KeyClaim[]): Promise<ClaimedKey[]> {
    if (claims.length > CLAIMS_MAX) throw new MatrixError('M_TOO_LARGE', `At most ${CLAIMS_MAX} keys can be claimed at once`)
    const wanted = claims.filter((claim) => serverNameOf(claim.userId) === this.#serverName)
    return wanted.length === 0 ? [] : this.#claimHere(wanted)
  }

  /** The same for a client, with those of users of other servers, which have `timeoutMs` to answer. Spec: POST /keys/claim. */
  async claimAnywhere(
    claims: readonly KeyClaim[],
    timeoutMs: number | undefined,
  ): Promise<{ keys: ClaimedKey[]; failures: RemoteFailures }> {
    const remote = claims.filter(({ userId }) => isValidUserId(userId) && serverNameOf(userId) !== this.#serverName)
    const [keys, foreign] = await Promise.all([
      this.claim(claims),
      remote.length === 0 ? { keys: [], failures: {} } : this.#remoteKeys.claim(remote, timeoutMs),
    ])
    return { keys: [...keys, ...foreign.keys], failures: foreign.failures }
  }

  async #claimHere(claims: readonly KeyClaim[]): Promise<ClaimedKey[]> {
    const nowMs = this.#clock.nowMs()
    const cacheRow = { cache: KEY_COUNTS_CACHE, keys: claims.map((claim) => keyCountsKey(claim.userId, claim.deviceId)) }
    const { result } = await this.#committer.commit({
      count: 1,
      write: async (tx, index) => {
        const [keys] = await Promise.all([
          claimKeys(tx, claims, nowMs),
          insertCacheInvalidation(tx, index, { ...cacheRow, createdTsMs: nowMs }),
        ])
        return keys
      },
      rows: () => [cacheRow],
    })
    return result
  }
}
