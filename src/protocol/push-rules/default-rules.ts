import type { UserId } from '../ids.ts'
import { localpartOf } from '../ids.ts'
import type { PushAction, PushCondition, PushRule, Ruleset } from './push-rule.ts'

/** The server-default rules of a user, split where the user's own rules go in between. */
export interface DefaultRules {
  /** Comes before the user's own override rules. */
  readonly master: PushRule
  /** Come after the user's own rules of their kind. */
  readonly rules: Ruleset
}

export interface DefaultRulesOptions {
  /**
   * Adds the rules that look for names and `@room` in the body, which the specification dropped in v1.17 (MSC4210). They
   * skip events that have `m.mentions` (MSC3952). Clients without intentional mentions still count on them.
   */
  readonly hasLegacyMentions: boolean
  /** Adds the rules for polls (MSC3930). */
  readonly hasPolls?: boolean | undefined
}

/** Rules that look for mentions in the body. They never match an event that has `m.mentions`. Source: MSC3952. */
export const LEGACY_MENTION_RULE_IDS: ReadonlySet<string> = new Set([
  '.m.rule.contains_display_name',
  '.m.rule.roomnotif',
  '.m.rule.contains_user_name',
])

const POLL_RULE = '.org.matrix.msc3930.rule.'
const POLL_EVENT = 'org.matrix.msc3381.poll.'
const NOTIFY = 'notify'
const HIGHLIGHT: PushAction = { set_tweak: 'highlight' }
const DEFAULT_SOUND: PushAction = { set_tweak: 'sound', value: 'default' }
const RING: PushAction = { set_tweak: 'sound', value: 'ring' }

/** Builds the predefined rules in the specification's order. Spec v1.19: client-server-api § Predefined Rules. */
export function buildDefaultRules(userId: UserId, options: DefaultRulesOptions): DefaultRules {
  return {
    master: { ...rule('.m.rule.master', [], []), enabled: false },
    rules: {
      override: buildOverrideRules(userId, options),
      content: options.hasLegacyMentions ? [buildUserNameRule(userId)] : [],
      room: [],
      sender: [],
      underride: [...buildUnderrideRules(), ...(options.hasPolls === true ? buildPollRules() : [])],
    },
  }
}

function buildOverrideRules(userId: UserId, { hasLegacyMentions, hasPolls }: DefaultRulesOptions): PushRule[] {
  const legacy = (...args: Parameters<typeof rule>): PushRule[] => (hasLegacyMentions ? [rule(...args)] : [])
  const mayNotifyRoom: PushCondition = { kind: 'sender_notification_permission', key: 'room' }
  return [
    rule('.m.rule.suppress_notices', [match('content.msgtype', 'm.notice')], []),
    rule(
      '.m.rule.invite_for_me',
      [match('type', 'm.room.member'), match('content.membership', 'invite'), match('state_key', userId)],
      [NOTIFY, DEFAULT_SOUND],
    ),
    rule('.m.rule.member_event', [match('type', 'm.room.member')], []),
    rule(
      '.m.rule.is_user_mention',
      [{ kind: 'event_property_contains', key: 'content.m\\.mentions.user_ids', value: userId }],
      [NOTIFY, DEFAULT_SOUND, HIGHLIGHT],
    ),
    ...legacy('.m.rule.contains_display_name', [{ kind: 'contains_display_name' }], [NOTIFY, DEFAULT_SOUND, HIGHLIGHT]),
    rule(
      '.m.rule.is_room_mention',
      [{ kind: 'event_property_is', key: 'content.m\\.mentions.room', value: true }, mayNotifyRoom],
      [NOTIFY, HIGHLIGHT],
    ),
    ...legacy('.m.rule.roomnotif', [match('content.body', '@room'), mayNotifyRoom], [NOTIFY, HIGHLIGHT]),
    rule('.m.rule.tombstone', [match('type', 'm.room.tombstone'), match('state_key', '')], [NOTIFY, HIGHLIGHT]),
    rule('.m.rule.reaction', [match('type', 'm.reaction')], []),
    rule('.m.rule.room.server_acl', [match('type', 'm.room.server_acl'), match('state_key', '')], []),
    rule(
      '.m.rule.suppress_edits',
      [{ kind: 'event_property_is', key: 'content.m\\.relates_to.rel_type', value: 'm.replace' }],
      [],
    ),
    ...(hasPolls === true ? [rule(`${POLL_RULE}poll_response`, [match('type', `${POLL_EVENT}response`)], [])] : []),
  ]
}

function buildUserNameRule(userId: UserId): PushRule {
  return {
    rule_id: '.m.rule.contains_user_name',
    default: true,
    enabled: true,
    pattern: localpartOf(userId),
    actions: [NOTIFY, DEFAULT_SOUND, HIGHLIGHT],
  }
}

function buildUnderrideRules(): PushRule[] {
  const inPair: PushCondition = { kind: 'room_member_count', is: '2' }
  const isMessage = match('type', 'm.room.message')
  const isEncrypted = match('type', 'm.room.encrypted')
  return [
    rule('.m.rule.call', [match('type', 'm.call.invite')], [NOTIFY, RING]),
    rule('.m.rule.encrypted_room_one_to_one', [inPair, isEncrypted], [NOTIFY, DEFAULT_SOUND]),
    rule('.m.rule.room_one_to_one', [inPair, isMessage], [NOTIFY, DEFAULT_SOUND]),
    rule('.m.rule.message', [isMessage], [NOTIFY]),
    rule('.m.rule.encrypted', [isEncrypted], [NOTIFY]),
  ]
}

/** The rules for rooms of two come first: they also make a sound. */
function buildPollRules(): PushRule[] {
  const inPair: PushCondition = { kind: 'room_member_count', is: '2' }
  return ['start', 'end'].flatMap((what) => {
    const isIt = match('type', `${POLL_EVENT}${what}`)
    return [
      rule(`${POLL_RULE}poll_${what}_one_to_one`, [inPair, isIt], [NOTIFY, DEFAULT_SOUND]),
      rule(`${POLL_RULE}poll_${what}`, [isIt], [NOTIFY]),
    ]
  })
}

function rule(ruleId: string, conditions: readonly PushCondition[], actions: readonly PushAction[]): PushRule {
  return { rule_id: ruleId, default: true, enabled: true, conditions, actions }
}

function match(key: string, pattern: string): PushCondition {
  return { kind: 'event_match', key, pattern }
}
