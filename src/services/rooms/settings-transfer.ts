import { serverNameOf } from '../../protocol/ids.ts'
import type { RoomId, ServerName, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { getRoomSettings } from '../../storage/tables/room-tags.ts'
import type { PushRules } from '../push/push-rules.ts'
import type { AccountData } from '../user-data/account-data.ts'
import type { Tags } from '../user-data/tags.ts'

/** The rooms of an upgrade, or of a room that names its predecessor. */
export interface Succession {
  readonly from: RoomId
  readonly to: RoomId
}

/**
 * Brings what users set for a room over to the one that replaces it: tags, direct chats, push rules. Idempotent.
 * Spec: client-server-api § Room upgrades.
 */
export class RoomSettingsTransfer {
  readonly #database: Database
  readonly #tags: Tags
  readonly #accountData: AccountData
  readonly #pushRules: PushRules
  readonly #serverName: ServerName

  constructor(deps: { database: Database; tags: Tags; accountData: AccountData; pushRules: PushRules; serverName: ServerName }) {
    this.#database = deps.database
    this.#tags = deps.tags
    this.#accountData = deps.accountData
    this.#pushRules = deps.pushRules
    this.#serverName = deps.serverName
  }

  /** Works through the users of ours one after the other: few have settings for a room. */
  async transfer(users: readonly UserId[], rooms: Succession): Promise<void> {
    const ours = users.filter((userId) => serverNameOf(userId) === this.#serverName)
    for (const setting of await getRoomSettings(this.#database, { userIds: ours, roomId: rooms.from })) {
      const content = JSON.parse(setting.contentJson) as JsonObject
      if (setting.type === 'm.tag') await this.#copyTags(setting.userId as UserId, rooms.to, content)
      else await this.#copyDirect(setting.userId as UserId, rooms)
    }
    for (const { userId, rules } of await this.#pushRules.getCustomized(ours)) {
      const rule = rules.custom.room.find((one) => one.rule_id === rooms.from)
      if (rule) await this.#pushRules.put(userId, 'room', { ...rule, rule_id: rooms.to }, { before: undefined, after: undefined })
    }
  }

  async #copyTags(userId: UserId, roomId: RoomId, content: JsonObject): Promise<void> {
    const { tags } = content
    if (!isJsonObject(tags)) return
    for (const [tag, value] of Object.entries(tags)) if (isJsonObject(value)) await this.#tags.set({ userId, roomId, tag }, value)
  }

  async #copyDirect(userId: UserId, { from, to }: Succession): Promise<void> {
    await this.#accountData.change({ userId, roomId: undefined, type: 'm.direct' }, (content) => {
      const isMissing = (rooms: unknown): rooms is string[] => Array.isArray(rooms) && rooms.includes(from) && !rooms.includes(to)
      if (!Object.values(content).some(isMissing)) return undefined
      return Object.fromEntries(
        Object.entries(content).map(([other, rooms]) => [other, isMissing(rooms) ? [...rooms, to] : rooms]),
      )
    })
  }
}
