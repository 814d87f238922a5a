import { stateSlotKey } from '../../protocol/events/event.ts'
import type { UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { RoomVersion } from '../../protocol/room-versions/room-version.ts'

export type RoomPreset = 'private_chat' | 'trusted_private_chat' | 'public_chat'

/** State that is set, by slot, in the order of its events. */
export type StateContents = Map<string, { readonly type: string; readonly stateKey: string; readonly content: JsonObject }>

/** Puts content into a slot; the slot keeps its place where it was filled before. */
export function putState(state: StateContents, type: string, stateKey: string, content: JsonObject): void {
  state.set(stateSlotKey(type, stateKey), { type, stateKey, content })
}

interface PresetState {
  readonly joinRule: string
  readonly guestAccess: string | undefined
}

const PRESETS: Readonly<Record<RoomPreset, PresetState>> = {
  private_chat: { joinRule: 'invite', guestAccess: 'can_join' },
  trusted_private_chat: { joinRule: 'invite', guestAccess: 'can_join' },
  // Guests are kept out by the absence of the event, as Synapse has it.
  public_chat: { joinRule: 'public', guestAccess: undefined },
}

/** The state that a preset stands for. Spec: create_room.yaml. */
export function presetState(preset: RoomPreset, isEncrypted: boolean): StateContents {
  const state: StateContents = new Map()
  const { joinRule, guestAccess } = PRESETS[preset]
  putState(state, 'm.room.join_rules', '', { join_rule: joinRule })
  putState(state, 'm.room.history_visibility', '', { history_visibility: 'shared' })
  if (guestAccess !== undefined) putState(state, 'm.room.guest_access', '', { guest_access: guestAccess })
  if (isEncrypted) putState(state, 'm.room.encryption', '', { algorithm: 'm.megolm.v1.aes-sha2' })
  return state
}

/**
 * The power levels of a new room. Those above the moderators' 50 are what could lock people out of the room; since version 12
 * the tombstone, which closes it, is kept for the creators. Spec: create_room.yaml.
 */
export function newPowerLevels(room: {
  readonly version: RoomVersion
  readonly preset: RoomPreset
  readonly creator: UserId
  /** Invited users who get the creator's level: trusted_private_chat before version 12. */
  readonly trusted: readonly UserId[]
}): JsonObject {
  const { version, preset, creator, trusted } = room
  const users = version.privilegedCreators ? {} : Object.fromEntries([creator, ...trusted].map((userId) => [userId, 100]))
  return {
    users,
    users_default: 0,
    events: {
      'm.room.name': 50,
      'm.room.power_levels': 100,
      'm.room.history_visibility': 100,
      'm.room.canonical_alias': 50,
      'm.room.avatar': 50,
      'm.room.tombstone': version.privilegedCreators ? 150 : 100,
      'm.room.server_acl': 100,
      'm.room.encryption': 100,
      ...(preset === 'public_chat' && { 'm.call.invite': 50 }),
    },
    events_default: 0,
    state_default: 50,
    ban: 50,
    kick: 50,
    redact: 50,
    invite: preset === 'public_chat' ? 50 : 0,
    historical: 100,
  }
}

/** The content of `m.room.topic` for a plain text. Spec: client-server-api § m.room.topic. */
export function topicContent(topic: string): JsonObject {
  return { topic, 'm.topic': { 'm.text': [{ body: topic }] } }
}
