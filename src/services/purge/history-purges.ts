import { MatrixError } from '../../protocol/errors.ts'
import type { EventId, RoomId, ServerName } from '../../protocol/ids.ts'
import type { JsonObject, JsonValue } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import {
  deleteOrphanedSearch,
  deletePushActions,
  getCutAtEvent,
  getCutAtTime,
  mendLinks,
  purgeHistoryBatch,
  purgePlacelessBatch,
  raisePurgeFloor,
} from '../../storage/operations/purge-history.ts'
import type { HistoryCut, Place } from '../../storage/operations/purge-history.ts'
import { getPositionAt } from '../../storage/tables/stream-times.ts'
import type { RoomPurges } from '../../streams/room-purges.ts'
import { pause } from '../../util/pause.ts'
import type { Memberships } from '../rooms/memberships.ts'
import type { ScheduledTasks } from './scheduled-tasks.ts'
import type { RunningTask } from './task-runner.ts'

/** As Synapse names it. */
export const PURGE_HISTORY = 'purge_history'

/** Events that one transaction looks at: it keeps the room's owner waiting. */
const BATCH_EVENTS = 250
const LINK_BATCH_EVENTS = 1000
const USERS_AT_ONCE = 200
/** Others get their turn at the database. */
const REST_MS = 5
/** Who reads forgets what is gone, at the latest after so many events. */
const TOLD_EVERY = 5000
const START: Place = { position: -1, ordinal: 0 }

/** Up to where a room's history goes. */
export type PurgePoint = { readonly eventId: EventId } | { readonly beforeMs: number }

type Stage = 'counts' | 'events' | 'placeless' | 'links'

/**
 * Takes old messages out of rooms while others read and write there. State stays, and with it who was in the room and what they may see;
 * what is gone counts as read; events after the gap know that something is missing, so that it can be fetched again.
 * As Synapse's docs/admin_api/purge_history_api.md.
 */
export class HistoryPurges {
  readonly #database: Database
  readonly #tasks: ScheduledTasks
  readonly #memberships: Memberships
  readonly #purges: RoomPurges
  readonly #serverName: ServerName

  constructor(deps: {
    database: Database
    tasks: ScheduledTasks
    memberships: Memberships
    purges: RoomPurges
    serverName: ServerName
  }) {
    this.#database = deps.database
    this.#tasks = deps.tasks
    this.#memberships = deps.memberships
    this.#purges = deps.purges
    this.#serverName = deps.serverName
  }

  /**
   * Begins to purge everything before an event, or what was received before a time; with `isForMessages` not where only state is that old.
   * Returns the task's id. Throws M_NOT_FOUND where there is nothing to purge or the event is unknown, 400 M_UNKNOWN where a purge of the
   * room is under way.
   */
  async begin(
    roomId: RoomId,
    point: PurgePoint,
    options: { readonly deletesLocal: boolean; readonly isForMessages?: boolean },
  ): Promise<string> {
    const cut =
      'eventId' in point
        ? await getCutAtEvent(this.#database, roomId, point.eventId)
        : await getCutAtTime(this.#database, {
            roomId,
            timestampMs: point.beforeMs,
            receivedUpTo: await getPositionAt(this.#database, point.beforeMs),
            isForMessages: options.isForMessages ?? false,
          })
    if (!cut) {
      const what = 'eventId' in point ? 'Could not find event' : 'there is no event to be purged'
      throw new MatrixError('M_NOT_FOUND', what)
    }
    const params = {
      room_nid: cut.roomNid,
      position: cut.position,
      ordinal: cut.ordinal,
      depth: cut.depth,
      delete_local_events: options.deletesLocal,
    }
    const taskId = await this.#tasks.schedule({
      action: PURGE_HISTORY,
      resourceId: roomId,
      params,
      excludes: [PURGE_HISTORY, 'purge_room', 'shutdown_and_purge_room'],
    })
    if (taskId === undefined) throw new MatrixError('M_UNKNOWN', `Purge already in progress for ${roomId}`, { status: 400 })
    return taskId
  }

  /** Does a purge, from where it stopped. */
  async run(task: RunningTask): Promise<JsonObject> {
    const roomId = task.resourceId as RoomId
    const { params, progress } = task
    const cut: HistoryCut = {
      roomNid: numberOf(params['room_nid']),
      roomId,
      before: { position: numberOf(params['position']), ordinal: numberOf(params['ordinal']) },
      beforeDepth: numberOf(params['depth']),
      deletesLocal: params['delete_local_events'] === true,
      serverName: this.#serverName,
    }
    const counter = { deleted: numberOf(progress['deleted']), untold: 0 }
    const save = (stage: Stage, after: Place): Promise<void> =>
      task.save({ stage, position: after.position, ordinal: after.ordinal, deleted: counter.deleted })
    let stage = (progress['stage'] ?? 'counts') as Stage
    let after: Place =
      progress['position'] === undefined
        ? START
        : { position: numberOf(progress['position']), ordinal: numberOf(progress['ordinal']) }
    const next = async (following: Stage): Promise<void> => {
      stage = following
      after = START
      await save(stage, after)
    }
    if (stage === 'counts') {
      await this.#settleCounts(cut)
      await next('events')
    }
    if (stage === 'events') {
      await this.#deleteEvents(cut, after, { task, counter, save: (place) => save('events', place) })
      await next('placeless')
    }
    if (stage === 'placeless') {
      while (!task.signal.aborted) {
        const gone = await this.#database.transaction('purge_placeless', (tx) => purgePlacelessBatch(tx, cut, BATCH_EVENTS))
        counter.deleted += gone.length
        if (gone.length === 0) break
      }
      await deleteOrphanedSearch(this.#database, cut)
      await next('links')
    }
    for (let place: Place | undefined = after; place && !task.signal.aborted;) {
      const from: Place = place
      place = await this.#database.transaction('mend_links', (tx) =>
        mendLinks(tx, { roomNid: cut.roomNid, after: from, limit: LINK_BATCH_EVENTS }),
      )
      if (place) await save('links', place)
    }
    await this.#purges.tell({ roomId, isGone: false })
    return { deleted: counter.deleted }
  }

  /** What is going to be gone counts as read from here on: no count ever names what nobody finds. */
  async #settleCounts(cut: HistoryCut): Promise<void> {
    const upTo = await raisePurgeFloor(this.#database, cut)
    await this.#purges.tell({ roomId: cut.roomId, isGone: false })
    const users = ['', ...(await this.#memberships.getOfRoom(cut.roomId)).keys()]
    for (let start = 0; start < users.length; start += USERS_AT_ONCE) {
      await deletePushActions(this.#database, { roomId: cut.roomId, userIds: users.slice(start, start + USERS_AT_ONCE), upTo })
    }
  }

  async #deleteEvents(
    cut: HistoryCut,
    start: Place,
    work: {
      readonly task: RunningTask
      readonly counter: { deleted: number; untold: number }
      save(place: Place): Promise<void>
    },
  ): Promise<void> {
    const { task, counter } = work
    for (let after: Place | undefined = start; after && !task.signal.aborted;) {
      const from: Place = after
      const batch = await this.#database.transaction('purge_history', (tx) => purgeHistoryBatch(tx, cut, from, BATCH_EVENTS))
      counter.deleted += batch.eventIds.length
      counter.untold += batch.eventIds.length
      after = batch.upTo
      if (after) await work.save(after)
      if (counter.untold >= TOLD_EVERY) {
        counter.untold = 0
        await this.#purges.tell({ roomId: cut.roomId, isGone: false })
      }
      await pause(REST_MS, task.signal)
    }
  }
}

function numberOf(value: JsonValue | undefined): number {
  return typeof value === 'number' ? value : 0
}
