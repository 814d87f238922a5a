import type { ServerName, UserId } from '../../protocol/ids.ts'
import type { QueuedEdu } from '../../storage/tables/destination-queues.ts'
import type { Random } from '../../util/random.ts'

/** Servers take EDUs up to 65,536 bytes; a single content may have nearly as many. */
const EDU_BYTES = 50_000
const MESSAGE_ID_LETTERS = 24

/** A message to a device of another server's user, or to all of them (`*`). */
export interface RemoteMessage {
  readonly destination: ServerName
  readonly userId: UserId
  readonly deviceId: string
  readonly contentJson: string
}

/**
 * Packs messages of one request into EDUs, each with an id by which the other server knows it again.
 * Spec: server-server-api § Send-to-device messaging.
 */
export function makeToDeviceEdus(
  messages: readonly RemoteMessage[],
  event: { readonly sender: UserId; readonly type: string },
  random: Random,
): QueuedEdu[] {
  const edus: QueuedEdu[] = []
  for (const [destination, ofServer] of Map.groupBy(messages, (message) => message.destination)) {
    for (const part of split(ofServer)) {
      const head = JSON.stringify({ sender: event.sender, type: event.type, message_id: random.letters(MESSAGE_ID_LETTERS) })
      const json = `{"edu_type":"m.direct_to_device","content":${head.slice(0, -1)},"messages":${writeMessages(part)}}}`
      edus.push({ destination, key: '', json })
    }
  }
  return edus
}

function split(messages: readonly RemoteMessage[]): RemoteMessage[][] {
  const parts: RemoteMessage[][] = []
  let size = Infinity
  for (const message of messages) {
    const bytes = Buffer.byteLength(message.contentJson) + message.userId.length + message.deviceId.length
    if (size + bytes > EDU_BYTES) {
      parts.push([])
      size = 0
    }
    parts.at(-1)?.push(message)
    size += bytes
  }
  return parts
}

function writeMessages(messages: readonly RemoteMessage[]): string {
  const users = [...Map.groupBy(messages, (message) => message.userId)].map(([userId, ofUser]) => {
    const devices = ofUser.map(({ deviceId, contentJson }) => `${JSON.stringify(deviceId)}:${contentJson}`)
    return `${JSON.stringify(userId)}:{${devices.join(',')}}`
  })
  return `{${users.join(',')}}`
}
