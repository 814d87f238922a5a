import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RoomId, UserId } from '../ids.ts'
import { localpartOf } from '../ids.ts'
import { compileWordLiteral } from '../../util/glob.ts'
import { parsePropertyPath } from '../property-path.ts'
import type { PushContext } from './condition.ts'
import { EventClassifier } from './event-class.ts'
import type { PushEvent } from './event-property.ts'
import type { CompiledRuleset } from './evaluator.ts'
import { compileRuleset, evaluatePushRules } from './evaluator.ts'
import type { PushRuleKind } from './push-rule.ts'
import { summarizeActions } from './push-rule.ts'
import type { UserPushRules } from './ruleset.ts'
import {
  buildRuleset,
  deleteRule,
  getRule,
  NO_USER_PUSH_RULES,
  parsePushRule,
  putRule,
  setRuleActions,
  setRuleEnabled,
} from './ruleset.ts'

const ALICE = '@alice:example.org' as UserId
const BOB = '@bob:example.org' as UserId
const ROOM = '!room:example.org' as RoomId
const OPTIONS = { hasLegacyMentions: true }

function eventOf(changes: Partial<PushEvent> = {}): PushEvent {
  return {
    type: 'm.room.message',
    sender: ALICE,
    roomId: ROOM,
    stateKey: undefined,
    originServerTs: 1,
    content: { msgtype: 'm.text', body: 'hello' },
    ...changes,
  }
}

const CONTEXT: PushContext = {
  userId: BOB,
  displayName: 'Bob B. Builder',
  roomMemberCount: 3,
  senderPowerLevel: 0,
  notificationPowerLevels: {},
}

function rulesetOf(rules: UserPushRules = NO_USER_PUSH_RULES): CompiledRuleset {
  return compileRuleset(buildRuleset(BOB, rules, OPTIONS))
}

function ruleIdFor(event: PushEvent, context: Partial<PushContext> = {}, rules?: UserPushRules): string | undefined {
  return evaluatePushRules(rulesetOf(rules), event, { ...CONTEXT, ...context }).ruleId
}

function withRule(kind: PushRuleKind, ruleId: string, body: object, rules = NO_USER_PUSH_RULES): UserPushRules {
  return putRule(rules, kind, parsePushRule(kind, ruleId, body))
}

function override(conditions: object[]): UserPushRules {
  return withRule('override', 'mine', { conditions, actions: ['notify'] })
}

describe('default push rules', () => {
  it('stand in the order of the specification', () => {
    const ruleset = buildRuleset(BOB, NO_USER_PUSH_RULES, { hasLegacyMentions: false })
    expect(ruleset.override.map((rule) => rule.rule_id.slice('.m.rule.'.length))).toEqual([
      'master',
      'suppress_notices',
      'invite_for_me',
      'member_event',
      'is_user_mention',
      'is_room_mention',
      'tombstone',
      'reaction',
      'room.server_acl',
      'suppress_edits',
    ])
    expect(ruleset.content).toEqual([])
    expect(ruleset.underride.map((rule) => rule.rule_id.slice('.m.rule.'.length))).toEqual([
      'call',
      'encrypted_room_one_to_one',
      'room_one_to_one',
      'message',
      'encrypted',
    ])
  })

  it.each<[string, PushEvent, Partial<PushContext>]>([
    ['.m.rule.message', eventOf(), {}],
    ['.m.rule.room_one_to_one', eventOf(), { roomMemberCount: 2 }],
    ['.m.rule.encrypted', eventOf({ type: 'm.room.encrypted', content: {} }), {}],
    ['.m.rule.encrypted_room_one_to_one', eventOf({ type: 'm.room.encrypted', content: {} }), { roomMemberCount: 2 }],
    ['.m.rule.suppress_notices', eventOf({ content: { msgtype: 'm.notice', body: 'bob' } }), {}],
    ['.m.rule.invite_for_me', eventOf({ type: 'm.room.member', stateKey: BOB, content: { membership: 'invite' } }), {}],
    ['.m.rule.member_event', eventOf({ type: 'm.room.member', stateKey: ALICE, content: { membership: 'join' } }), {}],
    ['.m.rule.is_user_mention', eventOf({ content: { body: 'x', 'm.mentions': { user_ids: [BOB] } } }), {}],
    ['.m.rule.contains_display_name', eventOf({ content: { body: 'hey bob b. builder!' } }), {}],
    ['.m.rule.contains_user_name', eventOf({ content: { body: 'Ask Bob, please' } }), { displayName: undefined }],
    ['.m.rule.message', eventOf({ content: { body: 'bob', 'm.mentions': {} } }), {}],
    ['.m.rule.is_room_mention', eventOf({ content: { 'm.mentions': { room: true } } }), { senderPowerLevel: 50 }],
    ['.m.rule.message', eventOf({ content: { 'm.mentions': { room: true } } }), { senderPowerLevel: 49 }],
    ['.m.rule.roomnotif', eventOf({ content: { body: '@room: tea' } }), { senderPowerLevel: Infinity }],
    [
      '.m.rule.message',
      eventOf({ content: { body: '@room: tea' } }),
      { senderPowerLevel: 50, notificationPowerLevels: { room: 51 } },
    ],
    ['.m.rule.tombstone', eventOf({ type: 'm.room.tombstone', stateKey: '', content: {} }), {}],
    ['.m.rule.reaction', eventOf({ type: 'm.reaction', content: {} }), {}],
    ['.m.rule.room.server_acl', eventOf({ type: 'm.room.server_acl', stateKey: '', content: {} }), {}],
    ['.m.rule.suppress_edits', eventOf({ content: { body: 'y', 'm.relates_to': { rel_type: 'm.replace' } } }), {}],
    ['.m.rule.call', eventOf({ type: 'm.call.invite', content: {} }), {}],
  ])('%s decides about its event', (ruleId, event, context) => {
    expect(ruleIdFor(event, context)).toBe(ruleId)
  })

  it('match neither unknown events nor the own events of the user', () => {
    expect(ruleIdFor(eventOf({ type: 'org.example.other', content: {} }))).toBeUndefined()
    expect(ruleIdFor(eventOf({ sender: BOB }))).toBeUndefined()
  })
})

describe('conditions', () => {
  const matches = (condition: object, event: PushEvent, context?: Partial<PushContext>): boolean =>
    ruleIdFor(event, context, override([condition])) === 'mine'

  it('an escaped dot belongs to the name', () => {
    expect(parsePropertyPath('content.m\\.relates_to.a\\\\b.\\x')).toEqual(['content', 'm.relates_to', 'a\\b', '\\x'])
  })

  it('event_match needs a text, even for a star', () => {
    const condition = { kind: 'event_match', key: 'content.topic', pattern: '*' }
    expect(matches(condition, eventOf({ content: { topic: '' } }))).toBe(true)
    expect(matches(condition, eventOf({ content: { topic: 1 } }))).toBe(false)
    expect(matches(condition, eventOf({ content: {} }))).toBe(false)
    expect(matches({ kind: 'event_match', key: 'content.constructor.name', pattern: '*' }, eventOf())).toBe(false)
  })

  it('event_property_is compares without casting', () => {
    const condition = { kind: 'event_property_is', key: 'content.m\\.federate', value: true }
    expect(matches(condition, eventOf({ content: { 'm.federate': true } }))).toBe(true)
    expect(matches(condition, eventOf({ content: { 'm.federate': 'true' } }))).toBe(false)
    const isNull = { kind: 'event_property_is', key: 'content.a', value: null }
    expect(matches(isNull, eventOf({ content: { a: null } }))).toBe(true)
    expect(matches(isNull, eventOf({ content: {} }))).toBe(false)
  })

  it('event_property_contains looks for the exact value in a list', () => {
    const condition = { kind: 'event_property_contains', key: 'content.list', value: 2 }
    expect(matches(condition, eventOf({ content: { list: [1, 2] } }))).toBe(true)
    expect(matches(condition, eventOf({ content: { list: ['2'] } }))).toBe(false)
    expect(matches(condition, eventOf({ content: { list: 2 } }))).toBe(false)
  })

  it.each([
    ['3', true],
    ['==3', true],
    ['<3', false],
    ['<=3', true],
    ['>2', true],
    ['>=4', false],
    ['=3', false],
    ['three', false],
  ])('room_member_count %s in a room of three is %s', (is, expected) =>
    expect(matches({ kind: 'room_member_count', is }, eventOf())).toBe(expected),
  )

  it('an unknown condition never holds, no condition always does', () => {
    expect(matches({ kind: 'org.example.unknown' }, eventOf())).toBe(false)
    expect(ruleIdFor(eventOf({ type: 'x' }), {}, override([]))).toBe('mine')
  })
})

describe('user push rules', () => {
  const put = (rules: UserPushRules, ruleId: string, place?: { before?: string; after?: string }): UserPushRules =>
    putRule(rules, 'content', parsePushRule('content', ruleId, { pattern: ruleId, actions: ['notify'] }), place)
  const order = (rules: UserPushRules): string[] => rules.custom.content.map((rule) => rule.rule_id)

  it('a new rule becomes the most important one, or stands where before and after say', () => {
    let rules = put(put(NO_USER_PUSH_RULES, 'a'), 'b')
    expect(order(rules)).toEqual(['b', 'a'])
    rules = put(rules, 'c', { before: 'a' })
    expect(order(rules)).toEqual(['b', 'c', 'a'])
    rules = put(rules, 'd', { after: 'a' })
    expect(order(rules)).toEqual(['b', 'c', 'a', 'd'])
    expect(order(put(rules, 'd', { before: 'b' }))).toEqual(['d', 'b', 'c', 'a'])
    expect(order(put(rules, 'c'))).toEqual(['b', 'c', 'a', 'd'])
    expect(() => put(rules, 'e', { before: 'zzz' })).toThrow('before/after rule not found: zzz')
    expect(order(deleteRule(rules, 'content', 'c'))).toEqual(['b', 'a', 'd'])
    expect(() => deleteRule(rules, 'content', '.m.rule.contains_user_name')).toThrow('not found')
  })

  it('a replaced rule stays disabled', () => {
    const target = { kind: 'content', ruleId: 'a', options: OPTIONS } as const
    const rules = put(setRuleEnabled(put(NO_USER_PUSH_RULES, 'a'), BOB, target, false), 'a')
    expect(rules.custom.content[0]?.enabled).toBe(false)
  })

  it('own rules come before the defaults, but not before master', () => {
    const rules = override([])
    expect(
      buildRuleset(BOB, rules, OPTIONS)
        .override.slice(0, 3)
        .map((rule) => rule.rule_id),
    ).toEqual(['.m.rule.master', 'mine', '.m.rule.suppress_notices'])
    const muted = setRuleEnabled(rules, BOB, { kind: 'override', ruleId: '.m.rule.master', options: OPTIONS }, true)
    expect(evaluatePushRules(rulesetOf(muted), eventOf(), CONTEXT)).toEqual({
      actions: [],
      ruleId: '.m.rule.master',
      kind: 'override',
    })
  })

  it('default rules can be switched off and given other actions', () => {
    const target = { kind: 'underride', ruleId: '.m.rule.message', options: OPTIONS } as const
    let rules = setRuleActions(NO_USER_PUSH_RULES, BOB, target, ['notify', { set_tweak: 'sound', value: 'ping' }])
    expect(summarizeActions(evaluatePushRules(rulesetOf(rules), eventOf(), CONTEXT).actions).sound).toBe('ping')
    rules = setRuleEnabled(rules, BOB, target, false)
    expect(ruleIdFor(eventOf(), {}, rules)).toBeUndefined()
    expect(getRule(buildRuleset(BOB, rules, OPTIONS), 'underride', '.m.rule.message')).toMatchObject({
      enabled: false,
      default: true,
    })
    expect(() => setRuleEnabled(rules, BOB, { ...target, kind: 'room' }, true)).toThrow('not found')
  })

  it('room and sender rules apply to their room and sender', () => {
    expect(ruleIdFor(eventOf(), {}, withRule('room', ROOM, { actions: [] }))).toBe(ROOM)
    expect(ruleIdFor(eventOf(), {}, withRule('sender', ALICE, { actions: ['dont_notify'] }))).toBe(ALICE)
    expect(ruleIdFor(eventOf({ sender: '@eve:example.org' as UserId }), {}, withRule('sender', ALICE, { actions: [] }))).toBe(
      '.m.rule.message',
    )
  })

  it.each<[PushRuleKind, string, unknown]>([
    ['override', '.mine', { conditions: [], actions: [] }],
    ['override', 'a/b', { conditions: [], actions: [] }],
    ['override', 'a\\b', { conditions: [], actions: [] }],
    ['override', 'a', { conditions: [{}], actions: [] }],
    ['override', 'a', { conditions: [] }],
    ['content', 'a', { actions: [] }],
    ['content', 'a', { pattern: 1, actions: [] }],
    ['room', 'a', { actions: ['explode'] }],
    ['room', 'a', { actions: [{}] }],
    ['room', 'a', []],
  ])('a malformed %s rule %s is refused', (kind, ruleId, body) => {
    expect(() => parsePushRule(kind, ruleId, body)).toThrow(expect.objectContaining({ status: 400 }))
  })
})

describe('event classes', () => {
  const someone = fc.constantFrom(ALICE, BOB)
  const bodies = fc.constantFrom('hello', 'bob', 'Bob B. Builder', '@room', 'bobby', '')
  const contents = fc.record(
    {
      msgtype: fc.constantFrom('m.text', 'm.notice'),
      body: bodies,
      membership: fc.constantFrom('invite', 'join'),
      'm.mentions': fc.record({ user_ids: fc.array(someone, { maxLength: 2 }), room: fc.boolean() }, { requiredKeys: [] }),
      'm.relates_to': fc.constant({ rel_type: 'm.replace' }),
    },
    { requiredKeys: [] },
  )
  const types = fc.constantFrom(
    'm.room.message',
    'm.room.encrypted',
    'm.room.member',
    'm.reaction',
    'm.room.tombstone',
    'm.call.invite',
    'm.room.topic',
    'm.room.server_acl',
    'org.matrix.msc3381.poll.start',
    'org.matrix.msc3381.poll.response',
    'org.matrix.msc3381.poll.end',
  )

  it.each([{ hasLegacyMentions: true }, { hasLegacyMentions: false }, { hasLegacyMentions: true, hasPolls: true }])(
    'say what a full evaluation says for every user who is not named (%j)',
    (options) => {
      const classifier = new EventClassifier(options)
      const ruleset = compileRuleset(buildRuleset(BOB, NO_USER_PUSH_RULES, options))
      const names = [localpartOf(BOB), CONTEXT.displayName ?? ''].map(compileWordLiteral)
      fc.assert(
        fc.property(
          types,
          contents,
          fc.constantFrom(undefined, '', BOB, ALICE),
          fc.constantFrom(2, 3),
          fc.constantFrom(0, 50),
          (type, content, stateKey, roomMemberCount, senderPowerLevel) => {
            const context = { ...CONTEXT, roomMemberCount, senderPowerLevel }
            const event = eventOf({ type, content: content as PushEvent['content'], stateKey })
            const found = classifier.classify(event, context)
            const isNamed = found.isBodySearched && names.some((name) => name.matches(String(content.body)))
            if (found.mentionedUserIds.includes(BOB) || found.invitee === BOB || isNamed) return
            const { notify, highlight } = summarizeActions(evaluatePushRules(ruleset, event, context).actions)
            expect({ notify, highlight }).toEqual({ notify: found.notifies, highlight: found.highlights })
          },
        ),
        { numRuns: 2000 },
      )
    },
  )
})
