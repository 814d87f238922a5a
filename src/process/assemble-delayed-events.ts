import { DelayedEventSender } from '../services/delayed-events/delayed-event-sender.ts'
import { DelayedEvents } from '../services/delayed-events/delayed-events.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'
import type { RoomWritingServices } from './assemble-room-writing.ts'

/** Wires events that are sent later. */
export function assembleDelayedEvents(
  core: Core,
  deps: { readonly cluster: Cluster; readonly writing: RoomWritingServices },
): { readonly delayedEvents: DelayedEvents } {
  const { config, database, clock, random, hub, background } = core
  const { cluster, writing } = deps
  const delayedEvents = new DelayedEvents({
    database,
    clock,
    random,
    transport: cluster.transport,
    events: writing.eventCreator,
    delayMaxMs: config.server.maxEventDelayDurationMs,
  })
  if (delayedEvents.isEnabled) {
    const logger = core.logger.child('delayed_events')
    const sender = new DelayedEventSender({ database, delayed: delayedEvents, hub, clock, logger, background })
    cluster.addRole('delayed_events', { start: (lease) => sender.start(lease), stop: () => sender.stop() })
  }
  return { delayedEvents }
}
