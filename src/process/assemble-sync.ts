import { strippedTypes } from '../services/rooms/stripped-state.ts'
import { TimelineWriter } from '../services/sync/event-writer.ts'
import { DeviceListSharing } from '../services/sync/device-list-sharing.ts'
import { MemberEvents } from '../services/sync/member-events.ts'
import { ForkPositions } from '../services/sync/fork-positions.ts'
import { RoomSections } from '../services/sync/room-sections.ts'
import { RoomSummaries } from '../services/sync/room-summaries.ts'
import { RoomTimelines } from '../services/sync/room-timelines.ts'
import { StateSections } from '../services/sync/state-sections.ts'
import { SyncRooms } from '../services/sync/sync-rooms.ts'
import { SyncService } from '../services/sync/sync-service.ts'
import type { SyncSources } from '../services/sync/sync-sources.ts'
import { TimelineLoader } from '../services/sync/timeline-loader.ts'
import { UserFeeds } from '../services/sync/user-feeds.ts'
import type { Core } from './assemble-core.ts'

/** What /sync and sliding sync share. */
export interface SyncParts {
  readonly timelines: RoomTimelines
  readonly loader: TimelineLoader
  readonly writer: TimelineWriter
  readonly summaries: RoomSummaries
  readonly memberEvents: MemberEvents
  readonly feeds: UserFeeds
  readonly rooms: SyncRooms
  readonly sharing: DeviceListSharing
}

/** Wires /sync. */
export function assembleSync(core: Core, sources: SyncSources): { readonly sync: SyncService; readonly parts: SyncParts } {
  const { database, hub, clock, memberships, events, clientEvents, background, config, cacheFactor } = core
  const timelines = new RoomTimelines({ hub, cacheFactor })
  const feeds = new UserFeeds({ hub, memberships, background })
  const summaries = new RoomSummaries({ memberships, hub })
  const memberEvents = new MemberEvents({ database, hub, cacheFactor })
  const loader = new TimelineLoader({ database, events, timelines })
  const writer = new TimelineWriter({ clientEvents, events, clock })
  const rooms = new SyncRooms({ database, memberships, excludedRooms: config.rooms.excludeRoomsFromSync })
  const sharing = new DeviceListSharing({ database, memberships, summaries, timelines })
  const sections = new RoomSections({
    database,
    events,
    loader,
    writer,
    states: new StateSections({ database, memberEvents, cacheFactor }),
    summaries,
    forks: new ForkPositions({ hub }),
    unreadCounts: sources.unreadCounts,
    strippedTypes: strippedTypes(config.rooms),
  })
  const sync = new SyncService({
    hub,
    clock,
    feeds,
    rooms,
    sharing,
    sections,
    sources,
  })
  return { sync, parts: { timelines, loader, writer, summaries, memberEvents, feeds, rooms, sharing } }
}
