import { MatrixError, invalidParam } from '../../../protocol/errors.ts'
import { isPushRuleKind } from '../../../protocol/push-rules/push-rule.ts'
import type { PushRuleKind } from '../../../protocol/push-rules/push-rule.ts'
import { getRule, parseActions, parsePushRule } from '../../../protocol/push-rules/ruleset.ts'
import { SerializedJson } from '../../../http/endpoint.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

const RULE_PATH = '/_matrix/client/v3/pushrules/global/:kind/:ruleId'
const ruleParams = Type.Object({ kind: Type.String(), ruleId: Type.String() })

/** A kind that the path names, of a rule that must exist. Throws M_NOT_FOUND: there can be no rule of another kind. */
function findKind(kind: string): PushRuleKind {
  if (!isPushRuleKind(kind)) throw new MatrixError('M_NOT_FOUND', 'The push rule was not found.')
  return kind
}

/** All push rules of the user. Spec: pushrules.yaml. */
export const getPushRules = clientEndpoint({
  operationId: 'getPushRules',
  method: 'GET',
  path: '/_matrix/client/v3/pushrules/',
  group: 'push_rules',
  auth: 'user',
  async handler({ requester }, ctx) {
    return new SerializedJson(await ctx.pushRules.getAccountDataJson(requester.userId))
  },
})

/** All push rules of the user; `global` is the only set of rules that there is. Spec: pushrules.yaml. */
export const getPushRulesGlobal = clientEndpoint({
  operationId: 'getPushRulesGlobal',
  method: 'GET',
  path: '/_matrix/client/v3/pushrules/global/',
  group: 'push_rules',
  auth: 'user',
  async handler({ requester }, ctx) {
    return ctx.pushRules.getRuleset(requester.userId)
  },
})

/** One push rule. Errors: M_NOT_FOUND. Spec: pushrules.yaml. */
export const getPushRule = clientEndpoint({
  operationId: 'getPushRule',
  method: 'GET',
  path: RULE_PATH,
  group: 'push_rules',
  auth: 'user',
  params: ruleParams,
  async handler({ params, requester }, ctx) {
    return getRule(await ctx.pushRules.getRuleset(requester.userId), findKind(params.kind), params.ruleId)
  },
})

/** Adds or replaces a rule of the user. Errors: M_INVALID_PARAM, M_MISSING_PARAM, 400 M_UNKNOWN, M_RESOURCE_LIMIT_EXCEEDED. Spec: pushrules.yaml. */
export const setPushRule = clientEndpoint({
  operationId: 'setPushRule',
  method: 'PUT',
  path: RULE_PATH,
  group: 'push_rules',
  auth: 'user',
  params: ruleParams,
  query: Type.Object({ before: Type.Optional(Type.String()), after: Type.Optional(Type.String()) }),
  body: Type.Unknown(),
  async handler({ params, query, body, requester }, ctx) {
    if (!isPushRuleKind(params.kind)) throw invalidParam('This kind of push rule is not known')
    const rule = parsePushRule(params.kind, params.ruleId, body)
    await ctx.pushRules.put(requester.userId, params.kind, rule, {
      before: query.before || undefined,
      after: query.after || undefined,
    })
    return {}
  },
})

/** Removes a rule of the user. Errors: M_NOT_FOUND. Spec: pushrules.yaml. */
export const deletePushRule = clientEndpoint({
  operationId: 'deletePushRule',
  method: 'DELETE',
  path: RULE_PATH,
  group: 'push_rules',
  auth: 'user',
  params: ruleParams,
  async handler({ params, requester }, ctx) {
    await ctx.pushRules.delete({ userId: requester.userId, kind: findKind(params.kind), ruleId: params.ruleId })
    return {}
  },
})

/** Tells whether a rule is enabled. Errors: M_NOT_FOUND. Spec: pushrules.yaml. */
export const isPushRuleEnabled = clientEndpoint({
  operationId: 'isPushRuleEnabled',
  method: 'GET',
  path: `${RULE_PATH}/enabled`,
  group: 'push_rules',
  auth: 'user',
  params: ruleParams,
  async handler({ params, requester }, ctx) {
    const { enabled } = getRule(await ctx.pushRules.getRuleset(requester.userId), findKind(params.kind), params.ruleId)
    return { enabled }
  },
})

/** Switches a rule, own or default, on or off. Errors: M_NOT_FOUND. Spec: pushrules.yaml. */
export const setPushRuleEnabled = clientEndpoint({
  operationId: 'setPushRuleEnabled',
  method: 'PUT',
  path: `${RULE_PATH}/enabled`,
  group: 'push_rules',
  auth: 'user',
  params: ruleParams,
  body: Type.Object({ enabled: Type.Boolean() }),
  async handler({ params, body, requester }, ctx) {
    await ctx.pushRules.setEnabled({ userId: requester.userId, kind: findKind(params.kind), ruleId: params.ruleId }, body.enabled)
    return {}
  },
})

/** The actions of a rule. Errors: M_NOT_FOUND. Spec: pushrules.yaml. */
export const getPushRuleActions = clientEndpoint({
  operationId: 'getPushRuleActions',
  method: 'GET',
  path: `${RULE_PATH}/actions`,
  group: 'push_rules',
  auth: 'user',
  params: ruleParams,
  async handler({ params, requester }, ctx) {
    const { actions } = getRule(await ctx.pushRules.getRuleset(requester.userId), findKind(params.kind), params.ruleId)
    return { actions }
  },
})

/** Sets the actions of a rule, own or default. Errors: M_NOT_FOUND, M_INVALID_PARAM, M_MISSING_PARAM. Spec: pushrules.yaml. */
export const setPushRuleActions = clientEndpoint({
  operationId: 'setPushRuleActions',
  method: 'PUT',
  path: `${RULE_PATH}/actions`,
  group: 'push_rules',
  auth: 'user',
  params: ruleParams,
  body: Type.Object({ actions: Type.Optional(Type.Unknown()) }),
  async handler({ params, body, requester }, ctx) {
    const name = { userId: requester.userId, kind: findKind(params.kind), ruleId: params.ruleId }
    await ctx.pushRules.setActions(name, parseActions(body.actions))
    return {}
  },
})
