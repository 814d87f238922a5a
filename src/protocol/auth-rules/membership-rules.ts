import type { MatrixEvent } from '../events/event.ts'
import { isEventUserId } from '../ids.ts'
import type { RoomVersion } from '../room-versions/room-version.ts'
import { ALLOWED, type AuthResult, type AuthStateLookup, denied } from './auth-result.ts'
import { namedPowerLevel, type PowerLevels, userPowerLevel } from './power-levels.ts'
import { checkThirdPartyInvite } from './third-party-invite.ts'

/** What the rules on memberships look at. */
export interface MembershipContext {
  readonly roomVersion: RoomVersion
  readonly event: MatrixEvent
  readonly state: AuthStateLookup
  readonly create: MatrixEvent
  readonly levels: PowerLevels
}

/** Returns the membership of a user in the state; undefined where the user has none. */
export function membershipOf(state: AuthStateLookup, userId: string): string | undefined {
  const membership = state('m.room.member', userId)?.content['membership']
  return typeof membership === 'string' ? membership : undefined
}

/** Returns the join rule in force; `invite` where the state or the event names none. */
export function joinRuleOf(state: AuthStateLookup): string {
  const joinRule = state('m.room.join_rules', '')?.content['join_rule']
  if (joinRule === undefined) return 'invite'
  return typeof joinRule === 'string' ? joinRule : 'private'
}

/** 4. Rules on `m.room.member`, numbered as in rooms/v11. Spec: rooms/v1 to rooms/v12 § Authorisation rules. */
export function checkMembershipRules(context: MembershipContext): AuthResult {
  const { roomVersion, event } = context
  const target = event.stateKey
  if (target === undefined) return denied('m.room.member has no state key') // 4.1
  if (!Object.hasOwn(event.content, 'membership')) return denied('m.room.member has no membership') // 4.1
  if (roomVersion.hasRestrictedJoin && Object.hasOwn(event.content, 'join_authorised_via_users_server')) {
    // 4.2: the signature itself is checked with the others; a value that names no server cannot have one.
    if (!isEventUserId(event.content['join_authorised_via_users_server'])) return denied('The authorising user is malformed')
  }
  switch (event.content['membership']) {
    case 'join':
      return checkJoin(context, target) // 4.3
    case 'invite':
      return checkInvite(context, target) // 4.4
    case 'leave':
      return checkLeave(context, target) // 4.5
    case 'ban':
      return checkBan(context, target) // 4.6
    case 'knock':
      if (roomVersion.hasKnock) return checkKnock(context, target) // 4.7
  }
  return denied('The membership is not known') // 4.8
}

/** 4.3 */
function checkJoin(context: MembershipContext, target: string): AuthResult {
  const { roomVersion, event, state, create, levels } = context
  if (event.prevEventIds.length === 1 && event.prevEventIds[0] === create.eventId && levels.creators[0] === target) {
    return ALLOWED // 4.3.1: additional creators do not count, the list begins with the one who made the room
  }
  if (event.sender !== target) return denied('A user cannot be joined by another user') // 4.3.2
  const membership = membershipOf(state, event.sender)
  if (membership === 'ban') return denied(`${event.sender} is banned from the room`) // 4.3.3
  const joinRule = joinRuleOf(state)
  if (joinRule === 'public') return ALLOWED // 4.3.6
  const isRestricted = allowsRestrictedJoin(roomVersion, joinRule)
  if (joinRule !== 'invite' && !(joinRule === 'knock' && roomVersion.hasKnock) && !isRestricted) {
    return denied(`The join rule ${joinRule} does not allow joining`) // 4.3.7
  }
  if (membership === 'join' || membership === 'invite') return ALLOWED // 4.3.4, 4.3.5.1
  if (!isRestricted) return denied(`${event.sender} is not invited to the room`) // 4.3.7
  const authoriser = event.content['join_authorised_via_users_server'] // 4.3.5.2
  if (typeof authoriser !== 'string') return denied('No user of the room authorises the join')
  if (membershipOf(state, authoriser) !== 'join') return denied('The user who authorises the join is not in the room')
  if (userPowerLevel(levels, authoriser) < namedPowerLevel(levels, 'invite')) {
    return denied('The user who authorises the join may not invite users')
  }
  return ALLOWED // 4.3.5.3
}

/** Tells whether the join rule lets members of other rooms in. Spec: rooms/v8, rooms/v10. */
export function allowsRestrictedJoin(roomVersion: RoomVersion, joinRule: string): boolean {
  if (joinRule === 'restricted') return roomVersion.hasRestrictedJoin
  return joinRule === 'knock_restricted' && roomVersion.hasKnockRestricted
}

/** Tells whether the join rule lets users knock. Spec: rooms/v7, rooms/v10. */
export function allowsKnock(roomVersion: RoomVersion, joinRule: string): boolean {
  if (joinRule === 'knock') return roomVersion.hasKnock
  return joinRule === 'knock_restricted' && roomVersion.hasKnockRestricted
}

/** 4.4 */
function checkInvite({ event, state, levels }: MembershipContext, target: string): AuthResult {
  const targetMembership = membershipOf(state, target)
  if (Object.hasOwn(event.content, 'third_party_invite')) {
    if (targetMembership === 'ban') return denied(`${target} is banned from the room`) // 4.4.1.1
    return checkThirdPartyInvite(event, state) // 4.4.1.2 to 4.4.1.8
  }
  if (membershipOf(state, event.sender) !== 'join') return denied(`${event.sender} is not in the room`) // 4.4.2
  if (targetMembership === 'join') return denied(`${target} is already in the room`) // 4.4.3
  if (targetMembership === 'ban') return denied(`${target} is banned from the room`) // 4.4.3
  if (userPowerLevel(levels, event.sender) >= namedPowerLevel(levels, 'invite')) return ALLOWED // 4.4.4
  return denied('The power level does not suffice to invite users') // 4.4.5
}

/** 4.5 */
function checkLeave({ roomVersion, event, state, levels }: MembershipContext, target: string): AuthResult {
  const membership = membershipOf(state, event.sender)
  if (event.sender === target) {
    const isIn = membership === 'join' || membership === 'invite' || (membership === 'knock' && roomVersion.hasKnock)
    return isIn ? ALLOWED : denied(`${target} is not in the room`) // 4.5.1
  }
  if (membership !== 'join') return denied(`${event.sender} is not in the room`) // 4.5.2
  const senderLevel = userPowerLevel(levels, event.sender)
  if (membershipOf(state, target) === 'ban' && senderLevel < namedPowerLevel(levels, 'ban')) {
    return denied('The power level does not suffice to unban users') // 4.5.3
  }
  if (senderLevel >= namedPowerLevel(levels, 'kick') && userPowerLevel(levels, target) < senderLevel) return ALLOWED // 4.5.4
  return denied(`The power level does not suffice to kick ${target}`) // 4.5.5
}

/** 4.6 */
function checkBan({ event, state, levels }: MembershipContext, target: string): AuthResult {
  if (membershipOf(state, event.sender) !== 'join') return denied(`${event.sender} is not in the room`) // 4.6.1
  const senderLevel = userPowerLevel(levels, event.sender)
  if (senderLevel >= namedPowerLevel(levels, 'ban') && userPowerLevel(levels, target) < senderLevel) return ALLOWED // 4.6.2
  return denied(`The power level does not suffice to ban ${target}`) // 4.6.3
}

/** 4.7 */
function checkKnock({ roomVersion, event, state }: MembershipContext, target: string): AuthResult {
  if (!allowsKnock(roomVersion, joinRuleOf(state))) return denied('The join rule does not allow knocking') // 4.7.1
  if (event.sender !== target) return denied('A user cannot knock for another user') // 4.7.2
  const membership = membershipOf(state, event.sender)
  if (membership !== 'ban' && membership !== 'invite' && membership !== 'join') return ALLOWED // 4.7.3
  return denied(`${target} cannot knock with membership ${membership}`) // 4.7.4
}
