import { expect, it } from 'vitest'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { PushRuleKind } from '../../protocol/push-rules/push-rule.ts'
import { NO_USER_PUSH_RULES, parsePushRule, putRule, setRuleEnabled } from '../../protocol/push-rules/ruleset.ts'
import type { UserPushRules } from '../../protocol/push-rules/ruleset.ts'
import { RuleProfiles } from './rule-profile.ts'

const OPTIONS = { hasLegacyMentions: true }
const BOB = '@bob:example.org' as UserId
const ROOM = '!room:example.org' as RoomId
const OTHER = '!other:example.org' as RoomId

function profileOf(rules: UserPushRules, roomId = ROOM): ReturnType<RuleProfiles['forRoom']> {
  return new RuleProfiles(rules, OPTIONS).forRoom(roomId)
}

function withRule(kind: PushRuleKind, ruleId: string, body: JsonObject, rules = NO_USER_PUSH_RULES): UserPushRules {
  return putRule(rules, kind, parsePushRule(kind, ruleId, body))
}

const MUTE: JsonObject = { conditions: [{ kind: 'event_match', key: 'room_id', pattern: ROOM }], actions: [] }

it('users on default rules have no key and the baseline of everybody', () => {
  expect(profileOf(NO_USER_PUSH_RULES)).toMatchObject({ key: undefined, baseline: 'class', isPersonal: false })
})

it('a muted room counts for nothing, and for other rooms the rule is not there', () => {
  for (const rules of [withRule('override', 'mute', MUTE), withRule('room', ROOM, { actions: [] })]) {
    expect(profileOf(rules).baseline).toBe('none')
    expect(profileOf(rules, OTHER)).toMatchObject({ key: undefined, baseline: 'class' })
  }
})

it('two users who muted the same room share a profile, whatever else they muted', () => {
  const one = withRule('room', ROOM, { actions: [] })
  const two = withRule('room', '!third:example.org', { actions: [] }, one)
  expect(profileOf(one).key).toBe(profileOf(two).key)
  expect(profileOf(one).key).not.toBeUndefined()
})

it('keywords leave the baseline, rules about the display name make it personal', () => {
  const keyword = withRule('content', 'cake', { pattern: 'cake', actions: ['notify', { set_tweak: 'highlight' }] })
  expect(profileOf(keyword)).toMatchObject({ baseline: 'class', isPersonal: false })
  const named = withRule('override', 'name', { conditions: [{ kind: 'contains_display_name' }], actions: ['notify'] })
  expect(profileOf(named).isPersonal).toBe(true)
})

it('without the rule for plain messages only what is named counts', () => {
  const target = { kind: 'underride', ruleId: '.m.rule.message', options: OPTIONS } as const
  expect(profileOf(setRuleEnabled(NO_USER_PUSH_RULES, BOB, target, false)).baseline).toBe('none')
})
