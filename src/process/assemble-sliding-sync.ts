import { compileFilter } from '../protocol/filters/filter.ts'
import { strippedTypes } from '../services/rooms/stripped-state.ts'
import { ConnectionStore } from '../services/sliding-sync/connection-store.ts'
import { Extensions } from '../services/sliding-sync/extensions.ts'
import { OwnReceipts } from '../services/sliding-sync/own-receipts.ts'
import { RequiredStates } from '../services/sliding-sync/required-state.ts'
import { RoomAnswers } from '../services/sliding-sync/room-answers.ts'
import { RoomDeltas } from '../services/sliding-sync/room-deltas.ts'
import { RoomFactsCache } from '../services/sliding-sync/room-facts.ts'
import { RoomLists } from '../services/sliding-sync/room-lists.ts'
import { RoomStates } from '../services/sliding-sync/room-states.ts'
import { SlidingSyncService } from '../services/sliding-sync/sliding-sync-service.ts'
import { StrippedRooms } from '../services/sliding-sync/stripped-rooms.ts'
import type { SyncSources } from '../services/sync/sync-sources.ts'
import { pause } from '../util/pause.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'
import type { SyncParts } from './assemble-sync.ts'

const CLEANUP_MS = 3_600_000

/** Wires sliding sync, on the parts of /sync that both use. */
export function assembleSlidingSync(
  core: Core,
  deps: { readonly parts: SyncParts; readonly sources: SyncSources; readonly cluster: Cluster },
): { readonly slidingSync: SlidingSyncService } {
  const { database, hub, clock, memberships, background, config, cacheFactor } = core
  const { parts, sources, cluster } = deps
  const { timelines, loader, writer, summaries, memberEvents, feeds, rooms, sharing } = parts
  const requiredStates = new RequiredStates()
  const facts = new RoomFactsCache({ database, hub })
  const store = new ConnectionStore({ database, clock, background, requiredStates, cacheFactor })
  cluster.addRole(
    'sliding_sync_cleanup',
    {
      start: ({ signal }) => {
        background.run('drop unused sliding sync connections', () => cleanUp(store, signal))
        return Promise.resolve()
      },
      stop: () => Promise.resolve(),
    },
    { placedAs: 'background_tasks' },
  )
  return {
    slidingSync: new SlidingSyncService({
      database,
      hub,
      clock,
      store,
      requiredStates,
      lists: new RoomLists({
        hub,
        feeds,
        memberships,
        facts,
        accountData: sources.accountData,
        excludedRooms: config.rooms.excludeRoomsFromSync,
      }),
      answers: new RoomAnswers({
        deltas: new RoomDeltas({ database, timelines }),
        states: new RoomStates({ database, memberEvents }),
        stripped: new StrippedRooms({ database, strippedTypes: strippedTypes(config.rooms) }),
        loader,
        writer,
        facts,
        summaries,
        memberEvents,
        unreadCounts: sources.unreadCounts,
      }),
      extensions: new Extensions({ database, sources, rooms, sharing, everything: compileFilter({}, { limitMax: 1 }) }),
      ownReceipts: new OwnReceipts({ database, hub }),
      toDevice: sources.toDevice,
    }),
  }
}

async function cleanUp(store: ConnectionStore, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await pause(CLEANUP_MS, signal)
    if (!signal.aborted) await store.dropUnused()
  }
}
