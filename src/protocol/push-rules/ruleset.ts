import { invalidParam, MatrixError } from '../errors.ts'
import type { UserId } from '../ids.ts'
import type { JsonValue } from '../json.ts'
import { isJsonObject } from '../json.ts'
import type { DefaultRulesOptions } from './default-rules.ts'
import { buildDefaultRules } from './default-rules.ts'
import type { PushAction, PushCondition, PushRule, PushRuleKind, Ruleset } from './push-rule.ts'
import { PUSH_RULE_KINDS } from './push-rule.ts'

/** What a user changed about a server-default rule. */
export interface DefaultRuleChange {
  readonly enabled?: boolean
  readonly actions?: readonly PushAction[]
}

/** What is stored of a user's push rules: only what differs from the defaults. Plain JSON; immutable. */
export interface UserPushRules {
  /** The user's own rules, most important first. */
  readonly custom: Ruleset
  /** Changes of default rules by rule id. */
  readonly defaultChanges: Readonly<Record<string, DefaultRuleChange>>
}

/** The rules of a user who changed nothing. */
export const NO_USER_PUSH_RULES: UserPushRules = {
  custom: { override: [], content: [], room: [], sender: [], underride: [] },
  defaultChanges: {},
}

const CUSTOM_RULES_MAX = 5_000
const CONDITIONS_MAX = 100
const ACTIONS_MAX = 100
const TEXT_LENGTH_MAX = 1_024

/** Merges the user's rules with the defaults: master first, then own rules, then defaults, inside each kind. */
export function buildRuleset(userId: UserId, rules: UserPushRules, options: DefaultRulesOptions): Ruleset {
  const defaults = buildDefaultRules(userId, options)
  const changed = (rule: PushRule): PushRule => {
    const change = ownValue(rules.defaultChanges, rule.rule_id)
    return change === undefined ? rule : { ...rule, ...change }
  }
  const merge = (kind: PushRuleKind): readonly PushRule[] => [...rules.custom[kind], ...defaults.rules[kind].map(changed)]
  return {
    override: [changed(defaults.master), ...merge('override')],
    content: merge('content'),
    room: merge('room'),
    sender: merge('sender'),
    underride: merge('underride'),
  }
}

/** Finds a rule. Throws M_NOT_FOUND. */
export function getRule(ruleset: Ruleset, kind: PushRuleKind, ruleId: string): PushRule {
  const found = ruleset[kind].find((rule) => rule.rule_id === ruleId)
  if (found === undefined) throw ruleNotFound()
  return found
}

/**
 * Checks a rule that a client sent and gives it the form that we store, enabled. Throws M_INVALID_PARAM, or
 * M_MISSING_PARAM where a needed key is missing. Spec: PUT /pushrules/global/{kind}/{ruleId}.
 */
export function parsePushRule(kind: PushRuleKind, ruleId: string, body: unknown): PushRule {
  if (ruleId === '' || ruleId.length > TEXT_LENGTH_MAX) throw invalidParam('The rule ID is empty or too long')
  if (ruleId.startsWith('.')) throw invalidParam("Rule IDs that start with '.' are reserved for server-default rules")
  if (/[/\\]/.test(ruleId)) throw invalidParam('The rule ID may not contain slashes')
  if (!isJsonObject(body)) throw invalidParam('The push rule must be an object')
  const base = { rule_id: ruleId, default: false, enabled: true, actions: parseActions(body['actions']) }
  if (kind === 'content') return { ...base, pattern: parsePattern(body['pattern']) }
  if (kind === 'override' || kind === 'underride') return { ...base, conditions: parseConditions(body['conditions']) }
  return base
}

/** Checks a list of actions that a client sent. Historical ones are kept, for clients to see, and mean nothing. Throws M_INVALID_PARAM or M_MISSING_PARAM. */
export function parseActions(value: unknown): readonly PushAction[] {
  if (value === undefined) throw new MatrixError('M_MISSING_PARAM', "The push rule has no 'actions'")
  if (!Array.isArray(value) || value.length > ACTIONS_MAX) throw invalidParam("'actions' must be a short list")
  for (const action of value as unknown[]) {
    const isKnown = action === 'notify' || action === 'dont_notify' || action === 'coalesce'
    if (!isKnown && !(isJsonObject(action) && typeof action['set_tweak'] === 'string')) {
      throw invalidParam('The push rule has an action that is not known')
    }
  }
  return value as PushAction[]
}

function parsePattern(value: JsonValue | undefined): string {
  if (value === undefined) throw new MatrixError('M_MISSING_PARAM', "A content rule needs a 'pattern'")
  if (typeof value !== 'string' || value.length > TEXT_LENGTH_MAX) throw invalidParam("'pattern' must be a short text")
  return value
}

function parseConditions(value: JsonValue | undefined): readonly PushCondition[] {
  // Spec: a rule with no conditions always matches.
  if (value === undefined) return []
  if (!Array.isArray(value) || value.length > CONDITIONS_MAX) throw invalidParam("'conditions' must be a short list")
  for (const condition of value as JsonValue[]) {
    if (!isJsonObject(condition) || typeof condition['kind'] !== 'string') throw invalidParam("A condition needs a 'kind'")
    const pattern = condition['pattern']
    if (typeof pattern === 'string' && pattern.length > TEXT_LENGTH_MAX) throw invalidParam('The pattern is too long')
  }
  return value as unknown as PushCondition[]
}

/**
 * Adds or replaces a rule of the user. `before` and `after` name rules of the user of the same kind; `before` wins.
 * Without them a new rule becomes the most important one and a known one stays where it is. A replaced rule stays
 * disabled if it was. Throws M_UNKNOWN (400) where `before` or `after` is not there, M_RESOURCE_LIMIT_EXCEEDED.
 */
export function putRule(
  rules: UserPushRules,
  kind: PushRuleKind,
  rule: PushRule,
  place: { readonly before?: string | undefined; readonly after?: string | undefined } = {},
): UserPushRules {
  const list = rules.custom[kind]
  const oldIndex = indexOfRule(list, rule.rule_id)
  if (oldIndex === -1) assertRoomForOne(rules)
  const others = list.filter((_, index) => index !== oldIndex)
  const added = oldIndex === -1 ? rule : { ...rule, enabled: list[oldIndex]?.enabled ?? true }
  return withCustom(rules, kind, others.toSpliced(findPlace(others, place, Math.max(oldIndex, 0)), 0, added))
}

function findPlace(
  list: readonly PushRule[],
  place: { before?: string | undefined; after?: string | undefined },
  otherwise: number,
): number {
  const anchor = place.before ?? place.after
  if (anchor === undefined) return otherwise
  const index = indexOfRule(list, anchor)
  if (index === -1) throw new MatrixError('M_UNKNOWN', `before/after rule not found: ${anchor}`, { status: 400 })
  return place.before === undefined ? index + 1 : index
}

function assertRoomForOne(rules: UserPushRules): void {
  let count = 0
  for (const kind of PUSH_RULE_KINDS) count += rules.custom[kind].length
  if (count >= CUSTOM_RULES_MAX)
    throw new MatrixError('M_RESOURCE_LIMIT_EXCEEDED', `At most ${CUSTOM_RULES_MAX} push rules are allowed`)
}

/** Removes a rule of the user. Throws M_NOT_FOUND; default rules cannot be removed. */
export function deleteRule(rules: UserPushRules, kind: PushRuleKind, ruleId: string): UserPushRules {
  const index = indexOfRule(rules.custom[kind], ruleId)
  if (index === -1) throw ruleNotFound()
  return withCustom(rules, kind, rules.custom[kind].toSpliced(index, 1))
}

/** Switches a rule, own or default, on or off. Throws M_NOT_FOUND. */
export function setRuleEnabled(rules: UserPushRules, userId: UserId, target: RuleTarget, enabled: boolean): UserPushRules {
  return changeRule(rules, userId, target, { enabled })
}

/** Sets the actions of a rule, own or default; they come from `parseActions`. Throws M_NOT_FOUND. */
export function setRuleActions(
  rules: UserPushRules,
  userId: UserId,
  target: RuleTarget,
  actions: readonly PushAction[],
): UserPushRules {
  return changeRule(rules, userId, target, { actions })
}

/** Names one rule; `options` decides which default rules there are. */
export interface RuleTarget {
  readonly kind: PushRuleKind
  readonly ruleId: string
  readonly options: DefaultRulesOptions
}

function changeRule(rules: UserPushRules, userId: UserId, target: RuleTarget, change: DefaultRuleChange): UserPushRules {
  const { kind, ruleId } = target
  const list = rules.custom[kind]
  const index = indexOfRule(list, ruleId)
  const old = list[index]
  if (old !== undefined) return withCustom(rules, kind, list.with(index, { ...old, ...change }))
  const defaults = buildDefaultRules(userId, target.options)
  const isMaster = kind === 'override' && ruleId === defaults.master.rule_id
  if (!isMaster && indexOfRule(defaults.rules[kind], ruleId) === -1) throw ruleNotFound()
  return {
    custom: rules.custom,
    defaultChanges: { ...rules.defaultChanges, [ruleId]: { ...ownValue(rules.defaultChanges, ruleId), ...change } },
  }
}

function withCustom(rules: UserPushRules, kind: PushRuleKind, list: readonly PushRule[]): UserPushRules {
  return { custom: { ...rules.custom, [kind]: list }, defaultChanges: rules.defaultChanges }
}

function indexOfRule(list: readonly PushRule[], ruleId: string): number {
  return list.findIndex((rule) => rule.rule_id === ruleId)
}

function ownValue<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined
}

function ruleNotFound(): MatrixError {
  return new MatrixError('M_NOT_FOUND', 'The push rule was not found.')
}
