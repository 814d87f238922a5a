import type { MatrixEvent } from '../events/event.ts'
import { isValidUserId, serverNameOf } from '../ids.ts'
import { getRoomVersion } from '../room-versions/room-versions.ts'
import type { RoomVersion } from '../room-versions/room-version.ts'
import { ALLOWED, type AuthResult, type AuthStateLookup, denied } from './auth-result.ts'
import { checkMembershipRules, membershipOf } from './membership-rules.ts'
import { checkPowerLevelRules } from './power-level-rules.ts'
import { getPowerLevelsOf, namedPowerLevel, type PowerLevels, requiredPowerLevel, userPowerLevel } from './power-levels.ts'

/**
 * Decides whether the state allows the event: every authorisation rule that asks the event or the state. Rules on the
 * list of auth events are `checkAuthEventSelection`; rule 4.2 (a restricted join is signed by the authorising server) is
 * part of the signature check, see `requiredSigners`, because events are also judged here before they are signed.
 *
 * The numbers in the comments are those of rooms/v11. Other versions count differently: 1 to 5 have one rule more from 4 on
 * (aliases, here "v1: 4"), 12 has one more from 2 on (the room id).
 * Spec: rooms/v1 to rooms/v12 § Authorisation rules.
 */
export function checkAuthRules(roomVersion: RoomVersion, event: MatrixEvent, state: AuthStateLookup): AuthResult {
  if (event.type === 'm.room.create') return checkCreateRules(roomVersion, event) // 1
  const create = state('m.room.create', '')
  if (create === undefined) return denied('The room has no m.room.create event') // 2.4
  if (roomVersion.hashRoomId && create.eventId.slice(1) !== event.roomId.slice(1)) {
    return denied('The room ID does not name the m.room.create event') // v12: 2
  }
  if (create.content['m.federate'] === false && serverNameOf(event.sender) !== serverNameOf(create.sender)) {
    return denied('The room does not federate') // 3
  }
  if (event.type === 'm.room.aliases' && roomVersion.specialAliasesAuth) return checkAliasesRules(event) // v1: 4
  const levels = getPowerLevelsOf(roomVersion, state)
  if (event.type === 'm.room.member') return checkMembershipRules({ roomVersion, event, state, create, levels }) // 4
  if (membershipOf(state, event.sender) !== 'join') return denied(`${event.sender} is not in the room`) // 5
  return checkSendRules(roomVersion, event, state, levels)
}

/** 1. Rules on `m.room.create`. */
function checkCreateRules(roomVersion: RoomVersion, event: MatrixEvent): AuthResult {
  const { content, pdu } = event
  if (event.prevEventIds.length > 0) return denied('The m.room.create event has previous events') // 1.1
  if (roomVersion.hashRoomId) {
    if (pdu.room_id !== undefined) return denied('The m.room.create event has a room_id') // v12: 1.2
  } else if (serverNameOf(event.roomId) !== serverNameOf(event.sender)) {
    return denied('The server of the room ID is not the server of the sender') // 1.2
  }
  if (Object.hasOwn(content, 'room_version')) {
    const id = content['room_version']
    if (typeof id !== 'string' || getRoomVersion(id) === undefined) return denied('The room version is not known') // 1.3
  }
  if (!roomVersion.implicitRoomCreator && !Object.hasOwn(content, 'creator')) {
    return denied('The m.room.create event has no creator') // v1 to v10: 1.4
  }
  if (roomVersion.privilegedCreators && Object.hasOwn(content, 'additional_creators')) {
    const additional = content['additional_creators']
    if (!Array.isArray(additional) || !additional.every(isValidUserId)) {
      return denied('additional_creators is not a list of user IDs') // v12: 1.4
    }
  }
  return ALLOWED
}

/** v1 to v5: 4. Rules on `m.room.aliases`. */
function checkAliasesRules(event: MatrixEvent): AuthResult {
  if (event.stateKey === undefined) return denied('m.room.aliases has no state key') // v1: 4.1
  if (event.stateKey !== serverNameOf(event.sender)) return denied('The state key is not the server of the sender') // v1: 4.2
  return ALLOWED
}

/** 6 to 10. Rules on everything that a member may send, but memberships. */
function checkSendRules(roomVersion: RoomVersion, event: MatrixEvent, state: AuthStateLookup, levels: PowerLevels): AuthResult {
  const senderLevel = userPowerLevel(levels, event.sender)
  if (event.type === 'm.room.third_party_invite') {
    if (senderLevel >= namedPowerLevel(levels, 'invite')) return ALLOWED // 6.1
    return denied('The power level does not suffice to invite users')
  }
  const required = requiredPowerLevel(levels, { type: event.type, isState: event.stateKey !== undefined })
  if (required > senderLevel) {
    return denied(`Sending ${event.type} asks for power level ${required}, ${event.sender} has ${senderLevel}`) // 7
  }
  if (event.stateKey?.[0] === '@' && event.stateKey !== event.sender) {
    return denied('The state key is the ID of another user') // 8
  }
  if (event.type === 'm.room.power_levels') {
    return checkPowerLevelRules(levels, event, state('m.room.power_levels', '')) // 9
  }
  if (event.type === 'm.room.redaction' && roomVersion.redactionAuthRule) {
    return checkRedactionRules(event, levels, senderLevel) // v1, v2: 11
  }
  return ALLOWED // 10
}

/** v1 and v2: 11. Rules on `m.room.redaction`. */
function checkRedactionRules(event: MatrixEvent, levels: PowerLevels, senderLevel: number): AuthResult {
  if (senderLevel >= namedPowerLevel(levels, 'redact')) return ALLOWED // v1: 11.1
  if (event.redacts !== undefined && serverNameOf(event.redacts) === serverNameOf(event.eventId)) return ALLOWED // v1: 11.2
  return denied('The power level does not suffice to redact events of other servers') // v1: 11.3
}
