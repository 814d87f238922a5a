import { IpRanges } from '../http/ip-ranges.ts'
import { OutgoingClient } from '../http/outgoing-client.ts'
import type { UserId } from '../protocol/ids.ts'
import { Badges } from '../services/push/badges.ts'
import { PushContents } from '../services/push/push-contents.ts'
import { PushGatewayClient } from '../services/push/push-gateway-client.ts'
import { PushRecipients } from '../services/push/push-recipients.ts'
import { PushRouter } from '../services/push/push-router.ts'
import { PushSenders } from '../services/push/push-senders.ts'
import { PUSHER_SHARDS } from '../services/push/push-shards.ts'
import { readVersion } from '../util/version.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'
import type { PushServices } from './assemble-push.ts'

/**
 * Wires what sends pushes. Two roles, both where `pusher_instances` says: `push_router` finds out who is pushed what, `pusher` sends
 * it, in parts by user. Without `push.enabled` nobody does either.
 */
export function assemblePushSending(
  core: Core,
  deps: {
    readonly cluster: Cluster
    readonly push: PushServices
    readonly getIgnoredUsers: (userId: UserId) => Promise<ReadonlySet<string>>
  },
): { stop(): Promise<void> } {
  const { config, database, hub, clock, random, memberships, background } = core
  const { cluster, push } = deps
  const { pushRules, unreadCounts, pushers } = push
  const options = config.users.push
  if (!options.enabled) return { stop: () => Promise.resolve() }
  const logger = core.logger.child('push')
  const outgoing = new OutgoingClient({
    ranges: new IpRanges({ blacklist: config.server.ipRangeBlacklist, whitelist: config.server.ipRangeWhitelist }),
    userAgent: ['Ganglion/' + readVersion(), config.server.userAgentSuffix].filter((part) => part !== undefined).join(' '),
  })
  const senders = new PushSenders({
    database,
    hub,
    gateway: new PushGatewayClient({ outgoing }),
    contents: new PushContents({
      database,
      events: core.events,
      memberships,
      pushRules,
      unreadCounts,
      getIgnoredUsers: deps.getIgnoredUsers,
      clock,
      includesContent: options.includeContent,
    }),
    badges: new Badges({ memberships, unreadCounts, groupsByRoom: options.groupUnreadCountByRoom }),
    clock,
    random,
    logger,
    jitterDelayMs: options.jitterDelayMs,
    remove: (key) => pushers.delete(key),
    transport: cluster.transport,
    background,
  })
  const router = new PushRouter({
    database,
    hub,
    recipients: new PushRecipients({ database, hub, memberships, pushRules, isAlone: cluster.topology.isMonolith }),
    clock,
    wake: (userIds) => senders.wake(userIds),
    onError: (error) => logger.error('Finding out who is pushed what failed', { error }),
  })
  cluster.addRole('push_router', { start: ({ epoch }) => router.start(epoch), stop: () => router.stop() }, { placedAs: 'pusher' })
  cluster.addRole('pusher', {
    shards: PUSHER_SHARDS,
    start: ({ shard, signal }) => senders.start(shard, signal),
    stop: (shard) => senders.stop(shard),
  })
  return { stop: () => outgoing[Symbol.asyncDispose]() }
}
