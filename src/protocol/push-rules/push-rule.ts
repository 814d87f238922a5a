import type { JsonObject, JsonValue } from '../json.ts'

/** Kinds of push rules, in the order in which they are tried. Spec: client-server-api § Push Rules. */
export const PUSH_RULE_KINDS = ['override', 'content', 'room', 'sender', 'underride'] as const
export type PushRuleKind = (typeof PUSH_RULE_KINDS)[number]

/** What to do when a rule matches: `notify`, or a tweak. Actions that we do not know are kept as they came. */
export type PushAction = string | JsonObject

/** A condition as on the wire. A kind that we do not know matches nothing. */
export interface PushCondition extends JsonObject {
  readonly kind: string
}

/** A push rule as clients see it. Spec: definitions/push_rule.yaml. */
export interface PushRule {
  readonly rule_id: string
  readonly default: boolean
  readonly enabled: boolean
  readonly actions: readonly PushAction[]
  /** Only on override and underride rules. */
  readonly conditions?: readonly PushCondition[]
  /** Only on content rules. */
  readonly pattern?: string
}

/** All rules of one user, most important first inside a kind. Spec: definitions/push_ruleset.yaml. */
export type Ruleset = { readonly [Kind in PushRuleKind]: readonly PushRule[] }

/** Tells whether the text names a kind of push rule. */
export function isPushRuleKind(kind: string): kind is PushRuleKind {
  return (PUSH_RULE_KINDS as readonly string[]).includes(kind)
}

/** What the actions of the rule that matched add up to. */
export interface PushOutcome {
  readonly notify: boolean
  readonly highlight: boolean
  /** Value of the `sound` tweak, if it is a string. */
  readonly sound: string | undefined
  /** All tweaks by name, as the push gateway gets them. */
  readonly tweaks: JsonObject
}

/** Adds up actions. A highlight tweak without value means true. Spec: client-server-api § Actions. */
export function summarizeActions(actions: readonly PushAction[]): PushOutcome {
  let notify = false
  const tweaks: Record<string, JsonValue> = {}
  for (const action of actions) {
    if (action === 'notify') notify = true
    if (typeof action === 'string') continue
    const name = action['set_tweak']
    if (typeof name !== 'string') continue
    // A plain assignment would set the prototype for the tweak `__proto__`.
    Object.defineProperty(tweaks, name, { value: action['value'] ?? (name === 'highlight' ? true : null), enumerable: true })
  }
  const sound = tweaks['sound']
  return {
    notify,
    highlight: notify && tweaks['highlight'] === true,
    sound: typeof sound === 'string' ? sound : undefined,
    tweaks,
  }
}

/** Drops the historical actions, which mean nothing. Spec: client-server-api § Historical Actions. */
export function withoutHistoricalActions(actions: readonly PushAction[]): readonly PushAction[] {
  return actions.filter((action) => action !== 'dont_notify' && action !== 'coalesce')
}
