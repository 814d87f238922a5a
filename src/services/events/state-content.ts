import { MatrixError } from '../../protocol/errors.ts'
import { isEventUserId, parseRoomAlias } from '../../protocol/ids.ts'
import type { RoomAlias, ServerName } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import { compileServerAcl } from '../../protocol/server-acl.ts'

const LEVEL_FIELDS = ['ban', 'events_default', 'invite', 'kick', 'redact', 'state_default', 'users_default']

/**
 * Checks what clients put into state that we understand, beyond what the auth rules ask: a broken one would harm the room.
 * Throws M_BAD_JSON, M_INVALID_PARAM.
 */
export function checkStateContent(type: string, stateKey: string, content: JsonObject, serverName: ServerName): void {
  if (stateKey !== '') return
  if (type === 'm.room.power_levels') checkPowerLevels(content)
  if (type === 'm.room.server_acl') checkServerAcl(content, serverName)
  if (type === 'm.room.retention') checkRetention(content)
}

/** Power levels must be integers, whatever the room version lets pass: clients read them as such. */
function checkPowerLevels(content: JsonObject): void {
  for (const field of LEVEL_FIELDS) if (content[field] !== undefined) checkLevel(content[field], field)
  for (const map of ['users', 'events', 'notifications']) {
    const entries = content[map]
    if (entries === undefined) continue
    if (!isJsonObject(entries)) throw badJson(`${map} in the power levels is not an object`)
    for (const [key, value] of Object.entries(entries)) {
      if (map === 'users' && !isEventUserId(key)) throw badJson(`${key} in the power levels is not a user ID`)
      checkLevel(value, key)
    }
  }
}

function checkLevel(value: JsonValue | undefined, name: string): void {
  if (!Number.isSafeInteger(value)) throw badJson(`The power level of ${name} is not an integer in range`)
}

function checkServerAcl(content: JsonObject, serverName: ServerName): void {
  for (const list of ['allow', 'deny']) {
    const entries = content[list]
    if (entries !== undefined && !(Array.isArray(entries) && entries.every((entry) => typeof entry === 'string'))) {
      throw badJson(`${list} in the server ACL is not a list of strings`)
    }
  }
  // Nobody of this server could undo it.
  if (!compileServerAcl(content).isServerAllowed(serverName))
    throw new MatrixError('M_INVALID_PARAM', 'The server ACL would shut out this server')
}

/** How long messages live decides what is deleted: no guesses. MSC1763. */
function checkRetention({ min_lifetime: min, max_lifetime: max }: JsonObject): void {
  for (const [name, value] of Object.entries({ min_lifetime: min, max_lifetime: max })) {
    if (value !== undefined && value !== null && !(Number.isSafeInteger(value) && Number(value) >= 0))
      throw badJson(`${name} is not an integer in range`)
  }
  if (typeof min === 'number' && typeof max === 'number' && min > max) throw badJson('min_lifetime is greater than max_lifetime')
}

function badJson(message: string): MatrixError {
  return new MatrixError('M_BAD_JSON', message)
}

/** The aliases that `m.room.canonical_alias` names. Throws M_INVALID_PARAM where one is malformed. Spec: room_state.yaml. */
export function aliasesOf(content: JsonObject): RoomAlias[] {
  const { alias, alt_aliases: others } = content
  if (others !== undefined && others !== null && !Array.isArray(others))
    throw new MatrixError('M_INVALID_PARAM', 'alt_aliases is not a list')
  const named: readonly (JsonValue | undefined)[] = [...(alias === '' ? [] : [alias]), ...(Array.isArray(others) ? others : [])]
  return named.flatMap((one) => {
    if (one === undefined || one === null) return []
    if (typeof one !== 'string') throw new MatrixError('M_INVALID_PARAM', 'An alias is not a string')
    return [parseRoomAlias(one)]
  })
}
