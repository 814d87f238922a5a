import { RelationBundles } from '../services/relations/relation-bundles.ts'
import { Relations } from '../services/relations/relations.ts'
import { PublicRooms } from '../services/rooms/public-rooms.ts'
import { RoomCards } from '../services/rooms/room-cards.ts'
import { RemoteSpaces } from '../services/federation/remote/remote-spaces.ts'
import { SpaceHierarchies } from '../services/rooms/hierarchy.ts'
import type { Memberships } from '../services/rooms/memberships.ts'
import { EventReports } from '../services/rooms/event-reports.ts'
import { Reports } from '../services/rooms/reports.ts'
import { RoomPreviews } from '../services/rooms/summary.ts'
import { RoomTimes } from '../services/rooms/reading/room-times.ts'
import { RoomMessages } from '../services/rooms/reading/room-messages.ts'
import { RoomPages } from '../services/rooms/reading/room-pages.ts'
import { RoomStates } from '../services/rooms/reading/room-states.ts'
import { MessageSearch } from '../services/search/message-search.ts'
import { SearchAnswers } from '../services/search/search-answers.ts'
import { SearchIndexer } from '../services/search/search-indexer.ts'
import { EventStream } from '../services/sync/event-stream.ts'
import { RoomSnapshots } from '../services/sync/room-snapshots.ts'
import type { RoomSnapshotsDeps } from '../services/sync/room-snapshots.ts'
import type { AccountData } from '../services/user-data/account-data.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'
import type { FederationServices } from './assemble-federation.ts'
import type { RoomDirectoryServices } from './assemble-room-directory.ts'

/** What clients read of rooms. */
export interface RoomReadingServices {
  readonly roomMessages: RoomMessages
  readonly roomStates: RoomStates
  readonly relations: Relations
  readonly roomCards: RoomCards
  readonly publicRooms: PublicRooms
  readonly roomPreviews: RoomPreviews
  readonly spaceHierarchies: SpaceHierarchies
  readonly roomTimes: RoomTimes
  readonly reports: Reports
  readonly eventReports: EventReports
  readonly memberships: Memberships
  readonly messageSearch: MessageSearch
  readonly searchAnswers: SearchAnswers
  readonly eventStream: EventStream
  readonly roomSnapshots: RoomSnapshots
  /** Must run after the streams' heads were set. */
  start(): Promise<void>
}

interface RoomReadingDeps extends Pick<RoomSnapshotsDeps, 'receipts' | 'presence'> {
  readonly directory: RoomDirectoryServices
  readonly accountData: AccountData
  readonly cluster: Cluster
  readonly federation: Pick<FederationServices, 'federationClient'>
}

export function assembleRoomReading(core: Core, deps: RoomReadingDeps): RoomReadingServices {
  const { database, hub, events, clientEvents, memberships, clock, rateLimiter, serverName } = core
  const { roomAccess: access, roomViews: views } = deps.directory
  const pages = new RoomPages({ database, events })
  const { accountData } = deps
  clientEvents.setBundler(new RelationBundles({ database, events, clientEvents, access, accountData }))
  const roomMessages = new RoomMessages({ database, hub, access, views, pages, events, clientEvents, accountData })
  const roomCards = new RoomCards({ database, hub })
  const indexer = new SearchIndexer({ database, hub, background: core.background })
  const keeper = deps.cluster.addConsumer('message_search', indexer, ['events'])
  if (core.config.server.enableSearch) {
    deps.cluster.addRole(
      'message_search',
      { start: ({ epoch }) => indexer.start(epoch), stop: () => Promise.resolve(indexer.stop()) },
      { placedAs: 'background_tasks' },
    )
  }
  const messageSearch = new MessageSearch({ database, indexer: keeper, events, memberships, views, cards: roomCards })
  const remoteSpaces = new RemoteSpaces({ client: deps.federation.federationClient, clock, serverName, shared: core.sharedCache })
  const roomPreviews = new RoomPreviews({ cards: roomCards, memberships })
  return {
    eventStream: new EventStream({ database, hub, clock, events, memberships, access, views, messages: roomMessages }),
    roomSnapshots: new RoomSnapshots({
      database,
      hub,
      events,
      memberships,
      access,
      views,
      accountData,
      messages: roomMessages,
      receipts: deps.receipts,
      presence: deps.presence,
    }),
    messageSearch,
    searchAnswers: new SearchAnswers({ database, events, messages: roomMessages, access }),
    async start() {
      if (core.config.server.enableSearch) await messageSearch.start()
    },
    roomPreviews,
    memberships,
    spaceHierarchies: new SpaceHierarchies({ database, previews: roomPreviews, remote: remoteSpaces }),
    roomTimes: new RoomTimes({ database, events, access, views }),
    eventReports: new EventReports({ database, events, cards: roomCards }),
    reports: new Reports({
      database,
      clock,
      rateLimiter,
      memberships,
      events,
      serverName,
      limit: core.config.ratelimits.rcReports,
    }),
    roomMessages,
    roomCards,
    publicRooms: new PublicRooms({ database, cards: roomCards, isEnabled: core.config.rooms.enableRoomListSearch }),
    relations: new Relations({ database, hub, events, access, views, messages: roomMessages }),
    roomStates: new RoomStates({ database, access }),
  }
}
