import type { RoomId, UserId } from '../../protocol/ids.ts'
import type { DefaultRulesOptions } from '../../protocol/push-rules/default-rules.ts'
import type { CompiledRuleset } from '../../protocol/push-rules/evaluator.ts'
import { compileRuleset, evaluatePushRules } from '../../protocol/push-rules/evaluator.ts'
import type { PushEvent } from '../../protocol/push-rules/event-property.ts'
import type { PushRule } from '../../protocol/push-rules/push-rule.ts'
import { PUSH_RULE_KINDS, summarizeActions } from '../../protocol/push-rules/push-rule.ts'
import { buildRuleset, NO_USER_PUSH_RULES } from '../../protocol/push-rules/ruleset.ts'
import type { UserPushRules } from '../../protocol/push-rules/ruleset.ts'
import type { PushBaseline } from './push-actions.ts'

/** Stands for a user that the event does not name. */
export const NOBODY = '' as UserId

/** Default rules that hold for one user and not for another; who may be meant is evaluated by himself. */
const USER_SPECIFIC_RULE_IDS: ReadonlySet<string> = new Set([
  '.m.rule.invite_for_me',
  '.m.rule.is_user_mention',
  '.m.rule.contains_display_name',
  '.m.rule.contains_user_name',
])

/**
 * What a user's rules come to in one room, for events that do not name him. Users with equal keys get the same of such
 * events, so thousands who muted a room cost one evaluation.
 */
export interface RuleProfile {
  /** Undefined for users on default rules in this room. */
  readonly key: string | undefined
  readonly baseline: PushBaseline
  /** Evaluate it with the user id NOBODY. */
  readonly compiled: CompiledRuleset
  /** The user's own rules look for his display name: he is evaluated by himself. */
  readonly isPersonal: boolean
}

/** Makes the profiles of one user's rules. Rooms that no rule names share one. */
export class RuleProfiles {
  readonly #rules: UserPushRules
  readonly #options: DefaultRulesOptions
  readonly #namedRooms: ReadonlySet<string>
  #elsewhere: RuleProfile | undefined

  constructor(rules: UserPushRules, options: DefaultRulesOptions) {
    this.#rules = rules
    this.#options = options
    this.#namedRooms = new Set(
      PUSH_RULE_KINDS.flatMap((kind) =>
        rules.custom[kind].flatMap((rule) => (kind === 'room' ? [rule.rule_id.toLowerCase()] : roomsNamedBy(rule))),
      ),
    )
  }

  forRoom(roomId: RoomId): RuleProfile {
    if (this.#namedRooms.has(roomId.toLowerCase())) return buildProfile(keepRulesFor(this.#rules, roomId), roomId, this.#options)
    return (this.#elsewhere ??= buildProfile(keepRulesFor(this.#rules, NO_ROOM), NO_ROOM, this.#options))
  }
}

/** Never the id of a room. */
const NO_ROOM = '' as RoomId

/** Room ids that the rule's conditions ask for literally: elsewhere it never matches. */
function roomsNamedBy(rule: PushRule): string[] {
  return (rule.conditions ?? []).flatMap(({ kind, key, pattern }) =>
    kind === 'event_match' && key === 'room_id' && typeof pattern === 'string' && !/[*?]/.test(pattern)
      ? [pattern.toLowerCase()]
      : [],
  )
}

function keepRulesFor(rules: UserPushRules, roomId: RoomId): UserPushRules {
  const canMatch = (rule: PushRule): boolean =>
    rule.enabled && roomsNamedBy(rule).every((named) => named === roomId.toLowerCase())
  const { override, content, room, sender, underride } = rules.custom
  return {
    custom: {
      override: override.filter(canMatch),
      content: content.filter((rule) => rule.enabled),
      room: room.filter((rule) => rule.enabled && rule.rule_id === roomId),
      sender: sender.filter((rule) => rule.enabled),
      underride: underride.filter(canMatch),
    },
    defaultChanges: rules.defaultChanges,
  }
}

const DEFAULT_KEY = JSON.stringify(NO_USER_PUSH_RULES)

function buildProfile(rules: UserPushRules, roomId: RoomId, options: DefaultRulesOptions): RuleProfile {
  const key = JSON.stringify(rules)
  const ruleset = buildRuleset(NOBODY, rules, options)
  const isShared = (rule: PushRule): boolean => !(rule.default && USER_SPECIFIC_RULE_IDS.has(rule.rule_id))
  const compiled = compileRuleset({
    ...ruleset,
    override: ruleset.override.filter(isShared),
    content: ruleset.content.filter(isShared),
  })
  const isPersonal = PUSH_RULE_KINDS.some((kind) =>
    rules.custom[kind].some((rule) => rule.conditions?.some((condition) => condition.kind === 'contains_display_name')),
  )
  return { key: key === DEFAULT_KEY ? undefined : key, compiled, baseline: findBaseline(compiled, roomId), isPersonal }
}

/** `class` where plain and encrypted messages notify, in rooms of two and of more. */
function findBaseline(compiled: CompiledRuleset, roomId: RoomId): PushBaseline {
  const context = { userId: NOBODY, displayName: undefined, senderPowerLevel: 0, notificationPowerLevels: {} }
  for (const type of ['m.room.message', 'm.room.encrypted']) {
    const probe: PushEvent = {
      type,
      roomId,
      sender: '@' as UserId,
      stateKey: undefined,
      content: type === 'm.room.message' ? { msgtype: 'm.text', body: '' } : {},
      originServerTs: 0,
    }
    for (const roomMemberCount of [2, 3]) {
      const { notify, highlight } = summarizeActions(evaluatePushRules(compiled, probe, { ...context, roomMemberCount }).actions)
      if (!notify || highlight) return 'none'
    }
  }
  return 'class'
}
