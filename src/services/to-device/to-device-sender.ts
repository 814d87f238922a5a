import type { RateLimit, RateLimiter } from '../../http/rate-limiter.ts'
import { invalidParam, MatrixError } from '../../protocol/errors.ts'
import { isValidUserId, serverNameOf } from '../../protocol/ids.ts'
import type { DeviceId, ServerName, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import {
  hasToDeviceTransaction,
  insertMessages,
  insertToDeviceTransaction,
  purgeInbox,
} from '../../storage/tables/device-inbox.ts'
import type { InboxMessage, ToDeviceTransaction } from '../../storage/tables/device-inbox.ts'
import type { QueuedEdu } from '../../storage/tables/destination-queues.ts'
import { getDevicesOfUsers } from '../../storage/tables/devices.ts'
import type { LaneCommitter } from '../../streams/lane-committer.ts'
import type { Background } from '../../util/background.ts'
import type { Clock } from '../../util/clock.ts'
import type { Random } from '../../util/random.ts'
import type { Requester } from '../accounts/requester.ts'
import { makeToDeviceEdus } from './remote-messages.ts'
import type { RemoteMessage } from './remote-messages.ts'

/** Also the size of an EDU that other servers take. */
const CONTENT_BYTES_MAX = 65_536
const USERS_PER_REQUEST_MAX = 5000
const MESSAGES_PER_REQUEST_MAX = 10_000
const NAME_BYTES_MAX = 255
const TRANSACTION_RETENTION_MS = 48 * 3600 * 1000
const PURGE_INTERVAL_MS = 3600 * 1000
const PURGE_ROWS_MAX = 10_000

export interface ToDeviceRequest {
  readonly requester: Requester
  readonly eventType: string
  readonly txnId: string
  /** User -> device, or `*` for all devices of the user that are not named -> content. */
  readonly messages: JsonObject
}

interface Addressed {
  readonly userId: UserId
  /** Device, or `*` -> the event as /sync hands it out. */
  readonly byDevice: ReadonlyMap<string, string>
}

/** Sends messages to devices, each request once, however often and wherever it is tried again. Promise P5. */
export class ToDeviceSender {
  readonly #database: Database
  readonly #committer: LaneCommitter<'to_device'>
  readonly #clock: Clock
  readonly #rateLimiter: RateLimiter
  readonly #keyRequestLimit: RateLimit
  readonly #serverName: ServerName
  readonly #background: Background
  readonly #random: Random
  readonly #onQueued: ((destinations: Iterable<ServerName>) => void)[] = []
  #nextPurgeMs = 0

  constructor(deps: {
    database: Database
    committer: LaneCommitter<'to_device'>
    clock: Clock
    rateLimiter: RateLimiter
    /** Option `rc_key_requests`. */
    keyRequestLimit: RateLimit
    serverName: ServerName
    background: Background
    random: Random
  }) {
    this.#database = deps.database
    this.#committer = deps.committer
    this.#clock = deps.clock
    this.#rateLimiter = deps.rateLimiter
    this.#keyRequestLimit = deps.keyRequestLimit
    this.#serverName = deps.serverName
    this.#background = deps.background
    this.#random = deps.random
  }

  /** Registers who is told that messages wait for other servers. Must not throw. */
  onQueued(listener: (destinations: Iterable<ServerName>) => void): void {
    this.#onQueued.push(listener)
  }

  /**
   * Puts the messages into the devices' inboxes, and those for users of other servers into the queues of these. Users and devices that
   * do not exist get nothing. Throws M_TOO_LARGE, M_INVALID_PARAM. Spec: PUT /sendToDevice.
   */
  async send(request: ToDeviceRequest): Promise<void> {
    const { requester, eventType, txnId } = request
    checkName(eventType, 'event type')
    checkName(txnId, 'transaction ID')
    const { addressed, remote } = await this.#address(request)
    const transaction = { userId: requester.userId, senderDevice: senderDeviceOf(requester), txnId, eventType }
    const [isDone, messages] = await Promise.all([hasToDeviceTransaction(this.#database, transaction), this.#resolve(addressed)])
    if (!isDone)
      await this.#store(
        transaction,
        messages,
        makeToDeviceEdus(remote, { sender: requester.userId, type: eventType }, this.#random),
      )
    this.#purgeNowAndThen()
  }

  async #store(transaction: ToDeviceTransaction, messages: readonly InboxMessage[], remote: readonly QueuedEdu[]): Promise<void> {
    await this.#insert({ ...transaction, createdTsMs: this.#clock.nowMs() }, messages, remote)
    if (remote.length === 0) return
    const destinations = new Set(remote.map((edu) => edu.destination))
    for (const listener of this.#onQueued) listener(destinations)
  }

  async #insert(
    dated: ToDeviceTransaction & { readonly createdTsMs: number },
    messages: readonly InboxMessage[],
    remote: readonly QueuedEdu[],
  ): Promise<void> {
    if (messages.length === 0) return insertToDeviceTransaction(this.#database, dated, remote)
    // The same request may run elsewhere at this moment; then this one stores nothing, and its rows wake readers in vain.
    await this.#committer.commit({
      count: messages.length,
      write: (tx, firstIndex) => insertMessages(tx, firstIndex, dated, messages, remote),
      rows: () => messages,
    })
  }

  async #address(request: ToDeviceRequest): Promise<{ readonly addressed: Addressed[]; readonly remote: RemoteMessage[] }> {
    const { requester, eventType, messages } = request
    const userIds = Object.keys(messages)
    if (userIds.length > USERS_PER_REQUEST_MAX)
      throw new MatrixError('M_TOO_LARGE', `Messages can be sent to ${USERS_PER_REQUEST_MAX} users at once`)
    const head = `{"type":${JSON.stringify(eventType)},"sender":${JSON.stringify(requester.userId)},"content":`
    const addressed: Addressed[] = []
    const remote: RemoteMessage[] = []
    for (const userId of userIds) {
      const byDevice = messages[userId]
      if (!isJsonObject(byDevice)) throw new MatrixError('M_BAD_JSON', 'messages must map users to devices')
      const events = new Map<string, string>()
      for (const [deviceId, content] of Object.entries(byDevice)) events.set(deviceId, `${head}${serializeContent(content)}}`)
      const server = isValidUserId(userId) ? serverNameOf(userId) : undefined
      if (!isValidUserId(userId) || server === undefined || events.size === 0) continue
      if (eventType === 'm.room_key_request' && userId !== requester.userId && !(await this.#mayRequestKeys(requester))) continue
      if (server === this.#serverName) addressed.push({ userId, byDevice: events })
      else
        for (const [deviceId, content] of Object.entries(byDevice))
          remote.push({ destination: server, userId, deviceId, contentJson: serializeContent(content) })
    }
    return { addressed, remote }
  }

  /** Requests for keys above the limit are dropped silently: others will be asked again. */
  async #mayRequestKeys(requester: Requester): Promise<boolean> {
    if (!requester.isRateLimited) return true
    try {
      await this.#rateLimiter.consume(`key_request ${requester.userId} ${requester.deviceId ?? ''}`, this.#keyRequestLimit)
      return true
    } catch (error) {
      if (error instanceof MatrixError && error.errcode === 'M_LIMIT_EXCEEDED') return false
      throw error
    }
  }

  /** Finds the devices that are there: one query for all users. */
  async #resolve(addressed: readonly Addressed[]): Promise<InboxMessage[]> {
    if (addressed.length === 0) return []
    const byUser = new Map(addressed.map((one) => [one.userId, one.byDevice]))
    const messages: InboxMessage[] = []
    for (const { userId, deviceId } of await getDevicesOfUsers(this.#database, [...byUser.keys()])) {
      const byDevice = byUser.get(userId)
      const messageJson = byDevice?.get(deviceId) ?? byDevice?.get('*')
      if (messageJson !== undefined) messages.push({ userId, deviceId: deviceId as DeviceId, messageJson })
    }
    if (messages.length > MESSAGES_PER_REQUEST_MAX)
      throw new MatrixError('M_TOO_LARGE', `At most ${MESSAGES_PER_REQUEST_MAX} devices can be reached at once`)
    return messages
  }

  #purgeNowAndThen(): void {
    const nowMs = this.#clock.nowMs()
    if (nowMs < this.#nextPurgeMs) return
    this.#nextPurgeMs = nowMs + PURGE_INTERVAL_MS
    this.#background.run('purge_inbox', () =>
      purgeInbox(this.#database, { createdBeforeMs: nowMs - TRANSACTION_RETENTION_MS, limit: PURGE_ROWS_MAX }),
    )
  }
}

function serializeContent(content: unknown): string {
  if (!isJsonObject(content)) throw new MatrixError('M_BAD_JSON', 'The content of a message must be an object')
  const json = JSON.stringify(content)
  if (Buffer.byteLength(json) > CONTENT_BYTES_MAX)
    throw new MatrixError('M_TOO_LARGE', `The content of a message may have ${CONTENT_BYTES_MAX} bytes`)
  return json
}

/** Transaction ids hang on the device; on the token where it has none. Spec: client-server-api § Transaction identifiers. */
function senderDeviceOf(requester: Requester): string {
  return requester.deviceId === undefined ? `t${requester.accessTokenId}` : `d${requester.deviceId}`
}

function checkName(value: string, what: string): void {
  if (value === '' || value.includes('\u0000') || Buffer.byteLength(value) > NAME_BYTES_MAX)
    throw invalidParam(`The ${what} is not allowed`)
}
