import { MatrixError } from '../../../protocol/errors.ts'
import { isEventUserId, isValidUserId, serverNameOf } from '../../../protocol/ids.ts'
import type { DeviceId, ServerName, UserId } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import type { Database } from '../../../storage/database.ts'
import { hasToDeviceTransaction, insertMessages } from '../../../storage/tables/device-inbox.ts'
import type { InboxMessage, ToDeviceTransaction } from '../../../storage/tables/device-inbox.ts'
import { getDevicesOfUsers } from '../../../storage/tables/devices.ts'
import type { LaneCommitter } from '../../../streams/lane-committer.ts'
import type { Clock } from '../../../util/clock.ts'

const NAME_BYTES_MAX = 255
const USERS_MAX = 5000
const MESSAGES_MAX = 10_000

/** Puts messages of other servers' users into our devices' inboxes, each once, however often it comes. Promises P5, P10. */
export class ToDeviceReceiver {
  readonly #database: Database
  readonly #committer: LaneCommitter<'to_device'>
  readonly #clock: Clock
  readonly #serverName: ServerName

  constructor(deps: { database: Database; committer: LaneCommitter<'to_device'>; clock: Clock; serverName: ServerName }) {
    this.#database = deps.database
    this.#committer = deps.committer
    this.#clock = deps.clock
    this.#serverName = deps.serverName
  }

  /** Spec: server-server-api § Send-to-device messaging, m.direct_to_device. */
  async receive(origin: ServerName, content: JsonObject): Promise<void> {
    const { sender, type, message_id: messageId, messages } = content
    if (
      !isEventUserId(sender) ||
      serverNameOf(sender) !== origin ||
      !isName(type) ||
      !isName(messageId) ||
      !isJsonObject(messages)
    )
      throw new MatrixError('M_BAD_JSON', 'The message to devices is malformed')
    // The origin's name stands where a user's does: its message ids are unique among its own.
    const transaction = { userId: origin as string as UserId, senderDevice: 'o', txnId: messageId, eventType: '' }
    if (await hasToDeviceTransaction(this.#database, transaction)) return
    await this.#store(transaction, await this.#resolve(messages, { sender, type }))
  }

  async #store(transaction: ToDeviceTransaction, messages: readonly InboxMessage[]): Promise<void> {
    if (messages.length === 0) return
    const dated = { ...transaction, createdTsMs: this.#clock.nowMs() }
    // The same message may come elsewhere at this moment; then this one stores nothing, and its rows wake readers in vain.
    await this.#committer.commit({
      count: messages.length,
      write: (tx, firstIndex) => insertMessages(tx, firstIndex, dated, messages, []),
      rows: () => messages,
    })
  }

  /** Finds the devices that are there; `*` means all that are not named. */
  async #resolve(messages: JsonObject, from: { readonly sender: UserId; readonly type: string }): Promise<InboxMessage[]> {
    const head = `{"type":${JSON.stringify(from.type)},"sender":${JSON.stringify(from.sender)},"content":`
    const userIds = Object.keys(messages)
      .filter((userId): userId is UserId => isValidUserId(userId) && serverNameOf(userId) === this.#serverName)
      .slice(0, USERS_MAX)
    if (userIds.length === 0) return []
    const resolved: InboxMessage[] = []
    for (const { userId, deviceId } of await getDevicesOfUsers(this.#database, userIds)) {
      const byDevice = messages[userId]
      if (!isJsonObject(byDevice) || resolved.length === MESSAGES_MAX) continue
      const content = Object.hasOwn(byDevice, deviceId) ? byDevice[deviceId] : byDevice['*']
      if (isJsonObject(content))
        resolved.push({ userId, deviceId: deviceId as DeviceId, messageJson: `${head}${JSON.stringify(content)}}` })
    }
    return resolved
  }
}

function isName(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    value !== '' &&
    !value.includes('\u0000') &&
    value.isWellFormed() &&
    Buffer.byteLength(value) <= NAME_BYTES_MAX
  )
}
