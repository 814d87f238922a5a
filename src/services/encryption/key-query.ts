import { MatrixError } from '../../protocol/errors.ts'
import { isValidUserId } from '../../protocol/ids.ts'
import type { DeviceId, ServerName, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { getCrossSigningKeys, getKeySignatures } from '../../storage/tables/cross-signing.ts'
import type { CrossSigningKeyRow } from '../../storage/tables/cross-signing.ts'
import { getDeviceKeysOfUsers } from '../../storage/tables/device-keys.ts'
import type { DeviceKeysRow } from '../../storage/tables/device-keys.ts'
import { getActiveUsers } from '../../storage/tables/users.ts'
import { splitByServer } from './device-key-store.ts'
import type { RemoteFailures, RemoteKeys } from './remote-keys.ts'
import { SignatureIndex } from './signatures.ts'

const USERS_PER_QUERY_MAX = 10_000

type ByUser<T> = Readonly<Record<string, T>>

/** What /keys/query answers. */
export interface KeyQueryResult {
  readonly device_keys: ByUser<ByUser<JsonObject>>
  readonly failures: RemoteFailures
  readonly master_keys: ByUser<JsonObject>
  readonly self_signing_keys: ByUser<JsonObject>
  readonly user_signing_keys: ByUser<JsonObject>
}

/** Looks users' device and cross-signing keys up. */
export class KeyQuery {
  readonly #database: Database
  readonly #serverName: ServerName
  readonly #remoteKeys: RemoteKeys

  constructor(deps: { database: Database; serverName: ServerName; remoteKeys: RemoteKeys }) {
    this.#database = deps.database
    this.#remoteKeys = deps.remoteKeys
    this.#serverName = deps.serverName
  }

  /**
   * The keys of the users, of all their devices or of the named ones; with the signatures that the viewer may see: the owners' and its
   * own. Users who do not exist are absent; malformed ids too. Other servers have `timeoutMs` to answer. Spec: POST /keys/query.
   */
  async query(viewerId: UserId, wanted: ReadonlyMap<string, readonly string[]>, timeoutMs?: number): Promise<KeyQueryResult> {
    if (wanted.size > USERS_PER_QUERY_MAX)
      throw new MatrixError('M_TOO_LARGE', `The keys of at most ${USERS_PER_QUERY_MAX} users can be asked for`)
    const { local, remote } = splitByServer([...wanted.keys()].filter(isValidUserId), this.#serverName)
    const [own, foreign] = await Promise.all([
      this.#read([...local], wanted, viewerId),
      remote.length === 0 ? NOTHING : this.#readRemote(remote, wanted, { viewerId, timeoutMs }),
    ])
    const { deviceKeys, crossSigningKeys, signatures } = own
    return {
      device_keys: { ...deviceKeys, ...foreign.device_keys },
      failures: foreign.failures,
      master_keys: { ...collectKeys(crossSigningKeys, 'master', signatures), ...foreign.master_keys },
      self_signing_keys: { ...collectKeys(crossSigningKeys, 'self_signing', signatures), ...foreign.self_signing_keys },
      user_signing_keys: collectKeys(
        crossSigningKeys.filter((row) => row.userId === viewerId),
        'user_signing',
        signatures,
      ),
    }
  }

  /** Keys of other servers' users, with the viewer's own signatures on them. */
  async #readRemote(
    userIds: readonly UserId[],
    wanted: ReadonlyMap<string, readonly string[]>,
    { viewerId, timeoutMs }: { readonly viewerId: UserId; readonly timeoutMs: number | undefined },
  ): Promise<Omit<KeyQueryResult, 'user_signing_keys'>> {
    const [{ keys, failures }, signatureRows] = await Promise.all([
      this.#remoteKeys.query(new Map(userIds.map((userId) => [userId, wanted.get(userId) ?? []])), timeoutMs),
      getKeySignatures(this.#database, userIds, viewerId),
    ])
    const signatures = new SignatureIndex(signatureRows)
    const masterKeys = [...keys.masterKeys].map(([userId, key]): [UserId, JsonObject] => [
      userId,
      signatures.merge(key, { userId, keyId: publicKeyOf(key) }),
    ])
    return {
      device_keys: Object.fromEntries([...keys.devices].map(([userId, devices]) => [userId, Object.fromEntries(devices)])),
      failures,
      master_keys: Object.fromEntries(masterKeys),
      self_signing_keys: Object.fromEntries(keys.selfSigningKeys),
    }
  }

  /**
   * The same for another server: of our users alone, with the signatures of the owners alone; names of devices only if wished.
   * Spec: server-server-api user_keys.yaml, queryUserEncryptionKeys.
   */
  async queryForServer(
    wanted: ReadonlyMap<string, readonly string[]>,
    options: { readonly showsNames: boolean },
  ): Promise<Pick<KeyQueryResult, 'device_keys' | 'master_keys' | 'self_signing_keys'>> {
    if (wanted.size > USERS_PER_QUERY_MAX)
      throw new MatrixError('M_TOO_LARGE', `The keys of at most ${USERS_PER_QUERY_MAX} users can be asked for`)
    const { local } = splitByServer([...wanted.keys()].filter(isValidUserId), this.#serverName)
    const { deviceKeys, crossSigningKeys, signatures } = await this.#read([...local], wanted, undefined, options)
    return {
      device_keys: deviceKeys,
      master_keys: collectKeys(crossSigningKeys, 'master', signatures),
      self_signing_keys: collectKeys(crossSigningKeys, 'self_signing', signatures),
    }
  }

  async #read(
    userIds: readonly UserId[],
    wanted: ReadonlyMap<string, readonly string[]>,
    viewerId: UserId | undefined,
    options: { readonly showsNames: boolean } = { showsNames: true },
  ): Promise<{
    deviceKeys: ByUser<ByUser<JsonObject>>
    crossSigningKeys: readonly CrossSigningKeyRow[]
    signatures: SignatureIndex
  }> {
    const [active, devices, crossSigningKeys, signatureRows] = await Promise.all([
      getActiveUsers(this.#database, userIds),
      getDeviceKeysOfUsers(this.#database, userIds),
      getCrossSigningKeys(this.#database, userIds),
      getKeySignatures(this.#database, userIds, viewerId),
    ])
    const signatures = new SignatureIndex(signatureRows)
    const rows = devices.filter((row) => isWanted(wanted.get(row.userId), row.deviceId))
    const shown = options.showsNames ? rows : rows.map((row) => ({ ...row, displayName: null }))
    return { deviceKeys: collectDevices(active, shown, signatures), crossSigningKeys, signatures }
  }
}

const NOTHING: Omit<KeyQueryResult, 'user_signing_keys'> = {
  device_keys: {},
  failures: {},
  master_keys: {},
  self_signing_keys: {},
}

/** The public part of a cross-signing key. */
function publicKeyOf(key: JsonObject): string {
  const keys = key['keys']
  return isJsonObject(keys) ? String(Object.values(keys)[0] ?? '') : ''
}

function isWanted(deviceIds: readonly string[] | undefined, deviceId: DeviceId): boolean {
  return deviceIds !== undefined && (deviceIds.length === 0 || deviceIds.includes(deviceId))
}

function collectDevices(
  userIds: readonly UserId[],
  rows: readonly DeviceKeysRow[],
  signatures: SignatureIndex,
): ByUser<ByUser<JsonObject>> {
  const byUser = new Map<UserId, [DeviceId, JsonObject][]>(userIds.map((userId) => [userId, []]))
  for (const { userId, deviceId, keysJson, displayName } of rows) {
    const keys = signatures.merge(JSON.parse(keysJson) as JsonObject, { userId, keyId: deviceId })
    byUser.get(userId)?.push([deviceId, { ...keys, unsigned: displayName === null ? {} : { device_display_name: displayName } }])
  }
  return Object.fromEntries([...byUser].map(([userId, devices]) => [userId, Object.fromEntries(devices)]))
}

function collectKeys(
  rows: readonly CrossSigningKeyRow[],
  usage: CrossSigningKeyRow['usage'],
  signatures: SignatureIndex,
): ByUser<JsonObject> {
  const keys = rows.filter((row) => row.usage === usage)
  return Object.fromEntries(
    keys.map(({ userId, publicKey, keyJson }) => [
      userId,
      signatures.merge(JSON.parse(keyJson) as JsonObject, { userId, keyId: publicKey }),
    ]),
  )
}
