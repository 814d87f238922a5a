import type { Config } from '../config/config.ts'
import { IpRanges } from '../http/ip-ranges.ts'
import { OutgoingClient } from '../http/outgoing-client.ts'
import { MatrixError } from '../protocol/errors.ts'
import { Badges } from '../services/push/badges.ts'
import { NotificationMails } from '../services/push/notification-mails.ts'
import type { GetNeighbours, ShownEvent } from '../services/push/notification-mails.ts'
import { PushContents } from '../services/push/push-contents.ts'
import { PushGatewayClient } from '../services/push/push-gateway-client.ts'
import { PushRecipients } from '../services/push/push-recipients.ts'
import { PushRouter } from '../services/push/push-router.ts'
import { PushSenders } from '../services/push/push-senders.ts'
import { PUSHER_SHARDS } from '../services/push/push-shards.ts'
import { RoomTitles } from '../services/push/room-titles.ts'
import { readVersion } from '../util/version.ts'
import type { AccountServices } from './assemble-accounts.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'
import type { PushServices } from './assemble-push.ts'
import type { RoomReadingServices } from './assemble-room-reading.ts'
import type { UserDataServices } from './assemble-user-data.ts'
import type { VerificationServices } from './assemble-verification.ts'

/**
 * Wires what sends pushes. Two roles, both where `pusher_instances` says: `push_router` finds out who is pushed what, `pusher` sends
 * it, in parts by user. Without `push.enabled` nobody does either.
 */
export function assemblePushSending(
  core: Core,
  deps: {
    readonly cluster: Cluster
    readonly push: PushServices
    readonly userData: UserDataServices
    readonly reading: RoomReadingServices
    readonly verification: VerificationServices
  },
): { stop(): Promise<void> } {
  const { config, database, hub, clock, random, memberships, background } = core
  const { cluster, push, userData } = deps
  const { pushRules, unreadCounts, pushers } = push
  const options = config.users.push
  if (!options.enabled) return { stop: () => Promise.resolve() }
  const logger = core.logger.child('push')
  const { email } = config.email
  const kinds = email.enableNotifs ? ['http', 'email'] : ['http']
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
      getIgnoredUsers: (userId) => userData.accountData.getIgnoredUsers(userId),
      getUnwantedInviters: (userId) => userData.accountData.getUnwantedInviters(userId),
      clock,
      includesContent: options.includeContent,
    }),
    badges: new Badges({ memberships, unreadCounts, groupsByRoom: options.groupUnreadCountByRoom }),
    clock,
    random,
    logger,
    jitterDelayMs: options.jitterDelayMs,
    mails: makeNotificationMails(core, deps),
    mailDelayMs: email.notifDelayBeforeMailMs,
    kinds,
    remove: (key) => pushers.delete(key),
    transport: cluster.transport,
    background,
  })
  const router = new PushRouter({
    database,
    hub,
    recipients: new PushRecipients({ database, hub, memberships, pushRules, isAlone: cluster.topology.isMonolith, kinds }),
    kinds,
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

function makeNotificationMails(
  { config, database, memberships, random, serverName }: Core,
  deps: {
    readonly userData: UserDataServices
    readonly reading: RoomReadingServices
    readonly verification: VerificationServices
  },
): NotificationMails {
  const { roomMessages } = deps.reading
  const getNeighbours: GetNeighbours = async (userId, roomId, eventId) => {
    try {
      const reader = {
        viewer: { userId, transactionDevice: '' },
        ignoredUsers: await deps.userData.accountData.getIgnoredUsers(userId),
      }
      const { before, after } = await roomMessages.getContext(reader, { roomId, eventId, limit: 2, filter: undefined })
      const parse = (texts: readonly string[]): ShownEvent[] => texts.map((text) => JSON.parse(text) as ShownEvent)
      return { before: parse(before), after: parse(after) }
    } catch (error) {
      // An event that the user may not see any more stands alone.
      if (error instanceof MatrixError) return { before: [], after: [] }
      throw error
    }
  }
  return new NotificationMails({
    database,
    sender: deps.verification.mailSender,
    titles: new RoomTitles({ database, memberships }),
    random,
    options: config.email.email,
    serverName,
    publicBaseUrl: config.server.publicBaseUrl,
    getNeighbours,
    getDisplayName: async (userId) => (await deps.userData.profiles.getNameAndAvatar(userId)).displayname,
  })
}

/** Has new accounts told of messages by mail (`email.notif_for_new_users`), and stops that when they lose the address. */
export function linkEmailPushers({ email: { email } }: Config, accounts: AccountServices, { pushers }: PushServices): void {
  accounts.onThreepidRemoved.push((userId, { medium, address }) =>
    medium === 'email' ? pushers.deleteOfAddress(userId, address) : Promise.resolve(),
  )
  if (!email.enableNotifs || !email.notifForNewUsers) return
  accounts.onRegistered.push(async ({ userId, threepids }) => {
    for (const { medium, address } of threepids)
      if (medium === 'email')
        await pushers.set(
          { userId, deviceId: undefined },
          {
            appId: 'm.email',
            pushkey: address,
            kind: 'email',
            appDisplayName: 'Email Notifications',
            deviceDisplayName: address,
            profileTag: '',
            lang: 'en',
            data: {},
          },
          { isAppended: true },
        )
  })
}
