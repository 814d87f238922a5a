import { getPowerLevelsOf, userPowerLevel } from '../../protocol/auth-rules/power-levels.ts'
import type { ServerName, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { RoomPushView } from '../push/push-actions.ts'
import type { RoomModel } from './room-model.ts'

/** Shows a room model to the push rules. Nothing is computed before it is asked for. */
export function makeRoomPushView(model: RoomModel, serverName: ServerName, sender: UserId): RoomPushView {
  const suffix = `:${serverName}`
  return {
    roomId: model.roomId,
    memberCount: model.joinedCount,
    *localMembers() {
      for (const entry of model.entries()) {
        if (entry.type !== 'm.room.member' || !entry.stateKey.endsWith(suffix)) continue
        if (entry.event.content['membership'] === 'join')
          yield [entry.stateKey as UserId, { displayName: displayNameOf(model, entry.stateKey) }]
      }
    },
    getDisplayName: (userId) => displayNameOf(model, userId),
    isLocal: (userId) => userId.endsWith(suffix),
    get senderPowerLevel() {
      return userPowerLevel(getPowerLevelsOf(model.roomVersion, model.lookup), sender)
    },
    get notificationPowerLevels() {
      const notifications = model.lookup('m.room.power_levels', '')?.content['notifications']
      if (!isJsonObject(notifications)) return {}
      return Object.fromEntries(
        Object.entries(notifications).filter((entry): entry is [string, number] => Number.isInteger(entry[1])),
      )
    },
    getStateContent: (type, stateKey) => model.lookup(type, stateKey)?.content,
  }
}

function displayNameOf(model: RoomModel, userId: string): string | undefined {
  const content = model.lookup('m.room.member', userId)?.content
  const name = content?.['displayname']
  return content?.['membership'] === 'join' && typeof name === 'string' ? name : undefined
}
