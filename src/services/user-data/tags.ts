import { invalidParam } from '../../protocol/errors.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { AccountData } from './account-data.ts'

const TAG_TYPE = 'm.tag'
/** Spec: client-server-api § Room Tagging: a tag must not exceed 255 bytes. */
const TAG_BYTES_MAX = 255
const TAGS_PER_ROOM_MAX = 500

/** Keeps a user's tags of a room, as the room's account data `m.tag`. Spec: client-server-api § Room Tagging. */
export class Tags {
  readonly #accountData: AccountData

  constructor(deps: { accountData: AccountData }) {
    this.#accountData = deps.accountData
  }

  /** The tags of the room, each with its content. */
  async get(userId: UserId, roomId: RoomId): Promise<JsonObject> {
    const contentJson = await this.#accountData.getForRoom(userId, roomId, TAG_TYPE)
    return tagsOf(contentJson === undefined ? {} : (JSON.parse(contentJson) as JsonObject))
  }

  /** Adds or replaces a tag. */
  async set(key: { userId: UserId; roomId: RoomId; tag: string }, tagContent: JsonObject): Promise<void> {
    checkTag(key.tag)
    await this.#accountData.change({ userId: key.userId, roomId: key.roomId, type: TAG_TYPE }, (content) => {
      const tags = tagsOf(content)
      if (!Object.hasOwn(tags, key.tag) && Object.keys(tags).length >= TAGS_PER_ROOM_MAX)
        throw invalidParam('The room has too many tags')
      return { ...content, tags: { ...tags, [key.tag]: tagContent } }
    })
  }

  /** Takes a tag away. Idempotent. */
  async delete(key: { userId: UserId; roomId: RoomId; tag: string }): Promise<void> {
    checkTag(key.tag)
    await this.#accountData.change({ userId: key.userId, roomId: key.roomId, type: TAG_TYPE }, (content) => {
      const { [key.tag]: removed, ...tags } = tagsOf(content)
      return removed === undefined ? undefined : { ...content, tags }
    })
  }
}

function tagsOf(content: JsonObject): JsonObject {
  const tags = content['tags']
  return isJsonObject(tags) ? tags : {}
}

function checkTag(tag: string): void {
  if (tag === '' || Buffer.byteLength(tag) > TAG_BYTES_MAX || tag.includes('\u0000') || !tag.isWellFormed())
    throw invalidParam('The tag is malformed')
}
