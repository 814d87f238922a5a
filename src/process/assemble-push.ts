import { Receipts } from '../services/ephemeral/receipts.ts'
import type { MarkerStore } from '../services/ephemeral/receipts.ts'
import { Notifications } from '../services/push/notifications.ts'
import { PushActionEvaluator } from '../services/push/push-action-evaluator.ts'
import { PushRules } from '../services/push/push-rules.ts'
import { Pushers } from '../services/push/pushers.ts'
import { UnreadCounts } from '../services/push/unread-counts.ts'
import type { Core } from './assemble-core.ts'

/** Who has read what, and who is told of what. */
export interface PushServices {
  readonly pushRules: PushRules
  readonly receipts: Receipts
  readonly unreadCounts: UnreadCounts
  readonly notifications: Notifications
  readonly pushers: Pushers
  /** What the event persister asks. */
  readonly pushActions: PushActionEvaluator
  /** Must run after the streams' heads were set. */
  start(): void
}

/** Wires receipts, push rules, counts and pushers. Clients without intentional mentions count on the legacy rules. */
export function assemblePush(core: Core, deps: { markers: MarkerStore }): PushServices {
  const { database, hub, memberships, clock, events, clientEvents } = core
  const pushRules = new PushRules({
    database,
    hub,
    committer: core.committer('push_rules'),
    options: { hasLegacyMentions: true, hasPolls: core.config.experimental['msc3381_polls_enabled'] === true },
  })
  const receipts = new Receipts({
    database,
    hub,
    committer: core.committer('receipts'),
    memberships,
    markers: deps.markers,
    clock,
  })
  return {
    pushRules,
    receipts,
    unreadCounts: new UnreadCounts({ database, hub, pushRules }),
    notifications: new Notifications({ database, hub, memberships, pushRules, events, clientEvents }),
    pushers: new Pushers({
      database,
      hub,
      committer: core.committer('pushers'),
      clock,
      sendsMails: core.config.email.email.enableNotifs,
    }),
    pushActions: new PushActionEvaluator({ pushRules, hub }),
    start() {
      pushRules.start()
      receipts.start()
    },
  }
}
