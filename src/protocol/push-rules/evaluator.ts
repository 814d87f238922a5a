import { isJsonObject } from '../json.ts'
import type { CompiledCondition, PushContext } from './condition.ts'
import { compileCondition, compileEventMatch } from './condition.ts'
import { LEGACY_MENTION_RULE_IDS } from './default-rules.ts'
import type { PushEvent } from './event-property.ts'
import type { PushAction, PushRule, PushRuleKind, Ruleset } from './push-rule.ts'
import { withoutHistoricalActions } from './push-rule.ts'

/** The rule that decided about an event, and its actions. No rule: no actions. */
export interface PushDecision {
  readonly actions: readonly PushAction[]
  readonly ruleId: string | undefined
  readonly kind: PushRuleKind | undefined
}

/** A ruleset made ready for many events. Keep it as long as the user's rules do not change. */
export interface CompiledRuleset {
  readonly override: readonly CompiledRule[]
  readonly content: readonly CompiledRule[]
  /** By room id: a user may have a rule for each of thousands of rooms. */
  readonly room: ReadonlyMap<string, PushDecision>
  /** By user id. */
  readonly sender: ReadonlyMap<string, PushDecision>
  readonly underride: readonly CompiledRule[]
}

interface CompiledRule {
  readonly decision: PushDecision
  readonly conditions: readonly CompiledCondition[]
  readonly isLegacyMention: boolean
}

const NO_DECISION: PushDecision = { actions: [], ruleId: undefined, kind: undefined }

/** Makes a user's rules ready for `evaluatePushRules`. Disabled rules are dropped: they never match. */
export function compileRuleset(ruleset: Ruleset): CompiledRuleset {
  return {
    override: compileRules('override', ruleset.override),
    content: compileRules('content', ruleset.content),
    room: indexRules('room', ruleset.room),
    sender: indexRules('sender', ruleset.sender),
    underride: compileRules('underride', ruleset.underride),
  }
}

/**
 * Finds the first rule that matches the event. A user's own events match nothing.
 * Spec: client-server-api § Push Rules.
 */
export function evaluatePushRules(ruleset: CompiledRuleset, event: PushEvent, context: PushContext): PushDecision {
  if (event.sender === context.userId) return NO_DECISION
  return (
    findMatch(ruleset.override, event, context) ??
    findMatch(ruleset.content, event, context) ??
    ruleset.room.get(event.roomId) ??
    ruleset.sender.get(event.sender) ??
    findMatch(ruleset.underride, event, context) ??
    NO_DECISION
  )
}

/** Tells whether the event says whom it mentions, so that its body is not searched for names. Source: MSC3952. */
export function hasIntentionalMentions(event: Pick<PushEvent, 'content'>): boolean {
  return isJsonObject(event.content) && Object.hasOwn(event.content, 'm.mentions')
}

function findMatch(rules: readonly CompiledRule[], event: PushEvent, context: PushContext): PushDecision | undefined {
  for (const rule of rules) {
    if (rule.isLegacyMention && hasIntentionalMentions(event)) continue
    if (areAllTrue(rule.conditions, event, context)) return rule.decision
  }
  return undefined
}

function areAllTrue(conditions: readonly CompiledCondition[], event: PushEvent, context: PushContext): boolean {
  for (const condition of conditions) {
    if (!condition(event, context)) return false
  }
  return true
}

function compileRules(kind: PushRuleKind, rules: readonly PushRule[]): CompiledRule[] {
  return rules
    .filter((rule) => rule.enabled)
    .map((rule) => ({
      decision: buildDecision(kind, rule),
      conditions:
        kind === 'content' ? [compileEventMatch('content.body', rule.pattern)] : (rule.conditions ?? []).map(compileCondition),
      isLegacyMention: rule.default && LEGACY_MENTION_RULE_IDS.has(rule.rule_id),
    }))
}

function indexRules(kind: PushRuleKind, rules: readonly PushRule[]): ReadonlyMap<string, PushDecision> {
  return new Map(rules.filter((rule) => rule.enabled).map((rule) => [rule.rule_id, buildDecision(kind, rule)]))
}

function buildDecision(kind: PushRuleKind, rule: PushRule): PushDecision {
  return { actions: withoutHistoricalActions(rule.actions), ruleId: rule.rule_id, kind }
}
