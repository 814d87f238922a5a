import type { UserId } from '../ids.ts'
import { isJsonObject } from '../json.ts'
import type { PushContext } from './condition.ts'
import type { DefaultRulesOptions } from './default-rules.ts'
import { buildDefaultRules } from './default-rules.ts'
import type { CompiledRuleset } from './evaluator.ts'
import { compileRuleset, evaluatePushRules, hasIntentionalMentions } from './evaluator.ts'
import type { PushEvent } from './event-property.ts'
import { summarizeActions } from './push-rule.ts'

/**
 * How an event notifies under the default rules, found once per event and not once per member.
 * A user on default rules who is none of `mentionedUserIds`, `invitee`, and whose names do not occur in the body when
 * `isBodySearched`, gets exactly `notifies` and `highlights`; all others are evaluated one by one.
 */
export interface EventPushClass {
  readonly notifies: boolean
  /** True for `@room` and tombstones, which highlight for everybody. */
  readonly highlights: boolean
  readonly mentionedUserIds: readonly string[]
  readonly invitee: string | undefined
  readonly isBodySearched: boolean
}

/** Classifies events under the default rules. Make one and keep it. */
export class EventClassifier {
  readonly #ruleset: CompiledRuleset
  readonly #options: DefaultRulesOptions

  constructor(options: DefaultRulesOptions) {
    this.#options = options
    const { rules } = buildDefaultRules(NOBODY, options)
    const override = rules.override.filter((rule) => !USER_SPECIFIC_RULE_IDS.has(rule.rule_id))
    this.#ruleset = compileRuleset({ ...rules, override, content: [] })
  }

  /** Finds the event's class. `sender` is what the room's power levels say about the event's sender. */
  classify(event: PushEvent, sender: Pick<PushContext, 'senderPowerLevel' | 'notificationPowerLevels'>): EventPushClass {
    // Default rules ask for the number of members only to choose a sound, so any number gives the same class.
    const context: PushContext = { ...sender, userId: NOBODY, displayName: undefined, roomMemberCount: 0 }
    const { actions, ruleId } = evaluatePushRules(this.#ruleset, event, context)
    const { notify, highlight } = summarizeActions(actions)
    // Both rules come before all that look for a user, but for the invite rule.
    const isForNobody = ruleId === '.m.rule.suppress_notices' || ruleId === '.m.rule.member_event'
    return {
      notifies: notify,
      highlights: highlight,
      mentionedUserIds: isForNobody ? [] : readMentionedUserIds(event),
      invitee: event.type === 'm.room.member' && event.content['membership'] === 'invite' ? event.stateKey : undefined,
      isBodySearched: !isForNobody && this.#options.hasLegacyMentions && isBodySearched(event),
    }
  }
}

/** Override rules that match for one user and not for another; so does the only default content rule. */
const USER_SPECIFIC_RULE_IDS: ReadonlySet<string> = new Set([
  '.m.rule.invite_for_me',
  '.m.rule.is_user_mention',
  '.m.rule.contains_display_name',
])

// Stands for any user but the sender: an empty id sent no event.
const NOBODY = '' as UserId

function readMentionedUserIds(event: PushEvent): readonly string[] {
  const mentions = event.content['m.mentions']
  const userIds = isJsonObject(mentions) ? mentions['user_ids'] : undefined
  return Array.isArray(userIds) ? [...new Set(userIds.filter((userId) => typeof userId === 'string'))] : []
}

function isBodySearched(event: PushEvent): boolean {
  return typeof event.content['body'] === 'string' && !hasIntentionalMentions(event)
}
