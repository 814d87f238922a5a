import { createHash } from 'node:crypto'
import { serverNameOf } from '../../../protocol/ids.ts'
import type { ServerName, UserId } from '../../../protocol/ids.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import type { Database } from '../../../storage/database.ts'
import { advanceCursor, getCursor } from '../../../storage/tables/consumer-cursors.ts'
import { insertQueuedEdus, keepNewestEdus } from '../../../storage/tables/destination-queues.ts'
import type { QueuedEdu } from '../../../storage/tables/destination-queues.ts'
import { getDeviceListsTold, upsertDeviceListsTold } from '../../../storage/tables/device-lists-told.ts'
import type { DeviceListTold } from '../../../storage/tables/device-lists-told.ts'
import { getDeviceListChanges } from '../../../storage/tables/device-lists.ts'
import type { StreamHub } from '../../../streams/stream-hub.ts'
import { STREAMS } from '../../../streams/streams.ts'
import type { StreamPosition } from '../../../streams/streams.ts'
import type { KeyQuery, KeyQueryResult } from '../../encryption/key-query.ts'
import type { DestinationBackoff } from '../destination-backoff.ts'
import type { EventRecipients } from './event-recipients.ts'
import type { WakeSenders } from './event-router.ts'
import { FollowedStream } from './followed-stream.ts'

const BATCH_POSITIONS = 500
const CURSOR = { consumer: 'federation_router', stream: STREAMS.device_lists.number, lane: 0 }
/** In the digests: the user's own keys. */
const CROSS_SIGNING = ''

type OwnKeys = Pick<KeyQueryResult, 'device_keys' | 'master_keys' | 'self_signing_keys'>

/** A change as it is told, before it is addressed. */
interface Update {
  readonly key: string
  readonly edu: JsonObject
}

/**
 * Tells other servers which devices of our users came, changed or went: follows the stream device_lists, compares each user's keys
 * with what was told last, and puts an update for each difference into the queues of all servers that share a room with the user.
 * Promise P7. Spec: server-server-api § Device Management, `m.device_list_update`, `m.signing_key_update`.
 */
export class DeviceListRouter {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #recipients: EventRecipients
  readonly #keyQuery: KeyQuery
  readonly #backoff: DestinationBackoff
  readonly #serverName: ServerName
  readonly #showsNames: boolean
  readonly #wake: WakeSenders
  readonly #follower: FollowedStream
  #done = 0

  constructor(deps: {
    database: Database
    hub: StreamHub
    recipients: EventRecipients
    keyQuery: KeyQuery
    backoff: DestinationBackoff
    serverName: ServerName
    /** Option allow_device_name_lookup_over_federation. */
    showsNames: boolean
    wake: WakeSenders
    onError: (error: unknown) => void
  }) {
    this.#database = deps.database
    this.#hub = deps.hub
    this.#recipients = deps.recipients
    this.#keyQuery = deps.keyQuery
    this.#backoff = deps.backoff
    this.#serverName = deps.serverName
    this.#showsNames = deps.showsNames
    this.#wake = deps.wake
    this.#follower = new FollowedStream({
      hub: deps.hub,
      stream: 'device_lists',
      load: async (epoch) => {
        this.#done = await getCursor(this.#database, CURSOR)
        await advanceCursor(this.#database, { ...CURSOR, pos: this.#done, epoch })
      },
      takeBatch: (epoch, signal) => this.#takeBatch(epoch, signal),
      onError: deps.onError,
    })
  }

  /** Takes the role. */
  start(epoch: number): Promise<void> {
    return this.#follower.start(epoch)
  }

  /** Gives the role back; settles when nothing of it runs any more. */
  stop(): Promise<void> {
    return this.#follower.stop()
  }

  async #takeBatch(epoch: number, signal: AbortSignal): Promise<boolean> {
    const head = this.#hub.head('device_lists')
    if (head <= this.#done) return false
    const upTo = Math.min(head, this.#done + BATCH_POSITIONS) as StreamPosition
    const changes = await getDeviceListChanges(this.#database, this.#done as StreamPosition, upTo)
    const changedAt = new Map<UserId, number>()
    for (const { userId, viewerId, position } of changes)
      if (viewerId === undefined && serverNameOf(userId) === this.#serverName) changedAt.set(userId, position)
    const sharing = await this.#findSharing([...changedAt.keys()])
    const userIds = [...sharing.keys()]
    const [keys, told] = await Promise.all([
      this.#keyQuery.queryForServer(new Map(userIds.map((userId) => [userId, []])), { showsNames: this.#showsNames }),
      getDeviceListsTold(this.#database, userIds),
    ])
    const edus: QueuedEdu[] = []
    const tellings: DeviceListTold[] = []
    for (const [userId, destinations] of sharing) {
      const position = changedAt.get(userId) ?? upTo
      const { updates, telling } = compare(userId, position, keys, told.get(userId))
      if (updates.length === 0) continue
      tellings.push(telling)
      for (const { key, edu } of updates) {
        const json = JSON.stringify(edu)
        for (const destination of destinations) edus.push({ destination, key, json })
      }
    }
    if (signal.aborted) return false
    await this.#store(edus, tellings, { pos: upTo, epoch })
    this.#done = upTo
    this.#wake(new Set(edus.map((edu) => edu.destination)))
    return head > upTo
  }

  async #store(
    edus: readonly QueuedEdu[],
    tellings: readonly DeviceListTold[],
    cursor: { readonly pos: number; readonly epoch: number },
  ): Promise<void> {
    const failing = await this.#findFailing(new Set(edus.map((edu) => edu.destination)))
    await this.#database.transaction('route_device_lists', async (tx) => {
      await advanceCursor(tx, { ...CURSOR, ...cursor })
      if (edus.length === 0) return
      await insertQueuedEdus(tx, edus)
      await upsertDeviceListsTold(tx, tellings)
      if (failing.length > 0) await keepNewestEdus(tx, failing)
    })
  }

  /** Who can not be reached now gets only the newest of each device: it will see that it missed something, and ask. */
  async #findFailing(destinations: ReadonlySet<ServerName>): Promise<ServerName[]> {
    const failing: ServerName[] = []
    for (const destination of destinations)
      if ((await this.#backoff.getRetry(destination)).failureTsMs !== undefined) failing.push(destination)
    return failing
  }

  /** The other servers that share rooms with the users; users whom nobody shares with are left out. */
  async #findSharing(userIds: readonly UserId[]): Promise<Map<UserId, ReadonlySet<ServerName>>> {
    const sharing = new Map<UserId, ReadonlySet<ServerName>>()
    for (const userId of userIds) {
      const servers = await this.#recipients.getSharing(userId)
      if (servers.size > 0) sharing.set(userId, servers)
    }
    return sharing
  }
}

/** Works out what differs from what was told. Each update names the one before it, so that who misses one knows. */
function compare(
  userId: UserId,
  position: number,
  keys: OwnKeys,
  told: DeviceListTold | undefined,
): { updates: Update[]; telling: DeviceListTold } {
  const before = told?.digests ?? {}
  const devices: Readonly<Record<string, JsonObject>> = keys.device_keys[userId] ?? {}
  const changed = Object.entries(devices).filter(([deviceId, device]) => before[deviceId] !== digestOf(device))
  const gone = Object.keys(before).filter((deviceId) => deviceId !== CROSS_SIGNING && devices[deviceId] === undefined)
  const updates: Update[] = []
  let streamId = told?.streamId
  // Numbers are the user's own: those up to the position that it has not used yet. The last one is the position that /user/devices tells.
  const count = changed.length + gone.length
  let next = Math.max((streamId ?? 0) + 1, position - count + 1)
  const add = (deviceId: string, content: JsonObject): void => {
    const number = Math.min(next++, position)
    const edu = { user_id: userId, device_id: deviceId, stream_id: number, prev_id: streamId === undefined ? [] : [streamId] }
    updates.push({
      key: `device ${userId} ${deviceId}`,
      edu: { edu_type: 'm.device_list_update', content: { ...edu, ...content } },
    })
    streamId = number
  }
  for (const [deviceId, { unsigned, ...device }] of changed) {
    const name = (unsigned as JsonObject | undefined)?.['device_display_name']
    add(deviceId, { keys: device as JsonObject, ...(typeof name === 'string' ? { device_display_name: name } : {}) })
  }
  for (const deviceId of gone) add(deviceId, { deleted: true })
  const masterKey = keys.master_keys[userId]
  const selfSigningKey = keys.self_signing_keys[userId]
  const crossSigning = digestOf({ masterKey: masterKey ?? null, selfSigningKey: selfSigningKey ?? null })
  if (masterKey && before[CROSS_SIGNING] !== crossSigning)
    updates.push({
      key: `keys ${userId}`,
      edu: {
        edu_type: 'm.signing_key_update',
        content: {
          user_id: userId,
          master_key: masterKey,
          ...(selfSigningKey === undefined ? {} : { self_signing_key: selfSigningKey }),
        },
      },
    })
  const digests = Object.fromEntries([
    ...Object.entries(devices).map(([deviceId, device]) => [deviceId, digestOf(device)]),
    [CROSS_SIGNING, crossSigning],
  ]) as Record<string, string>
  return { updates, telling: { userId, streamId: streamId ?? position, digests } }
}

function digestOf(value: JsonObject): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('base64url').slice(0, 22)
}
