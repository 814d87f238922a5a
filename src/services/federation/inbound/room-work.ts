import { eventFromStoredPdu } from '../../../protocol/events/parse-event.ts'
import type { Pdu } from '../../../protocol/events/event.ts'
import { serverNameOf } from '../../../protocol/ids.ts'
import type { RoomId, ServerName } from '../../../protocol/ids.ts'
import type { RoomVersion } from '../../../protocol/room-versions/room-version.ts'
import { isConnectionLost } from '../../../storage/database.ts'
import type { Database } from '../../../storage/database.ts'
import {
  deleteStagedEvents,
  getStagedEvents,
  getStagedRooms,
  postponeStagedEvent,
  purgeTransactions,
} from '../../../storage/tables/federation-staging.ts'
import type { StagedEventRow } from '../../../storage/tables/federation-staging.ts'
import type { Background } from '../../../util/background.ts'
import type { Clock } from '../../../util/clock.ts'
import type { Logger } from '../../../util/logger.ts'
import type { ForeignEvent, ForeignEventsWriter, ForeignResult } from '../../events/foreign-events.ts'
import type { RoomServers } from '../room-servers.ts'
import { CompletionQueue } from './completion-queue.ts'
import type { Staged } from './completion-queue.ts'
import type { EventCompletion } from './event-completion.ts'
import type { OutsideEvents } from './outside-events.ts'
import type { RoomVersions } from './room-versions.ts'
import { sortByPrevEvents } from './topological-order.ts'

/** Staged events that are taken at once: one commit. */
const BATCH_EVENTS = 50
/** Rooms that are worked on at a time. */
const ROOMS_AT_A_TIME = 20
/** How long fetching what one event needs may take. */
const COMPLETION_MS = 120_000
const ATTEMPTS_MAX = 8
const RETRY_FIRST_MS = 15_000
const RETRY_MAX_MS = 30 * 60_000
/** How often rooms are looked for that nobody told us of. */
const SWEEP_MS = 5000
const SWEEP_ROOMS = 500
const TRANSACTION_RETENTION_MS = 48 * 3600_000
const PURGE_MS = 600_000
const PURGE_ROWS = 10_000

interface RoomTurn {
  isDirty: boolean
}

/** What working on rooms needs. */
export interface RoomWorkDeps {
  readonly database: Database
  readonly writer: ForeignEventsWriter
  readonly completion: EventCompletion
  readonly outside: OutsideEvents
  readonly roomServers: RoomServers
  readonly roomVersions: RoomVersions
  readonly clock: Clock
  readonly background: Background
  readonly logger: Logger
  readonly serverName: ServerName
  readonly isOwner: (roomId: RoomId) => boolean
}

/**
 * Works through the staged events of the rooms that this process owns, in the order in which they came: what is complete is appended
 * at once, what is not waits for its needs and holds nothing up. An event leaves the staging table after it is part of its room, so
 * a crash repeats work at the most. Promise P10.
 */
export class RoomWork {
  readonly #deps: RoomWorkDeps
  readonly #rooms = new Map<RoomId, RoomTurn>()
  readonly #waiting = new Set<RoomId>()
  readonly #stopped = new AbortController()
  readonly #incomplete: CompletionQueue
  #sweepTimer: NodeJS.Timeout | undefined
  #nextPurgeMs = 0
  /** Events that were given up since the start. */
  givenUp = 0

  constructor(deps: RoomWorkDeps) {
    this.#deps = deps
    this.#incomplete = new CompletionQueue({
      complete: (staged) => this.#complete(staged),
      run: (work) => deps.background.run('complete events', work),
      onEmpty: (roomId) => this.wake(roomId),
    })
  }

  /** Takes up what an earlier process left, and looks for more from now on. */
  start(): void {
    this.#scheduleSweep(0)
  }

  /** Ends soon; what is under way stays staged. */
  stop(): void {
    this.#stopped.abort()
    clearTimeout(this.#sweepTimer)
  }

  /** Says that events of the room are staged. */
  wake(roomId: RoomId): void {
    if (this.#stopped.signal.aborted) return
    const queue = this.#rooms.get(roomId)
    if (queue) {
      queue.isDirty = true
      return
    }
    this.#waiting.add(roomId)
    this.#startWaiting()
  }

  #startWaiting(): void {
    for (const roomId of this.#waiting) {
      if (this.#rooms.size >= ROOMS_AT_A_TIME) return
      this.#waiting.delete(roomId)
      this.#rooms.set(roomId, { isDirty: false })
      this.#run(roomId)
    }
  }

  #run(roomId: RoomId): void {
    this.#deps.background.run('work on staged events', async () => {
      try {
        await this.#work(roomId)
      } finally {
        this.#rooms.delete(roomId)
        if (!this.#stopped.signal.aborted) this.#startWaiting()
      }
    })
  }

  async #work(roomId: RoomId): Promise<void> {
    const turn = this.#rooms.get(roomId)
    const roomVersion = await this.#deps.roomVersions.get(roomId)
    const { database, clock, isOwner } = this.#deps
    if (!turn || !roomVersion) return
    while (isOwner(roomId) && !this.#stopped.signal.aborted) {
      turn.isDirty = false
      const { inHand, fullOrigins } = this.#incomplete.stateOf(roomId)
      const rows = await getStagedEvents(database, { roomId, nowMs: clock.nowMs(), limit: BATCH_EVENTS, inHand, fullOrigins })
      if (rows.length > 0) await this.#takeBatch(roomId, roomVersion, rows)
      // Who stages more says so.
      if (rows.length < BATCH_EVENTS && !turn.isDirty) return
    }
  }

  async #takeBatch(roomId: RoomId, roomVersion: RoomVersion, rows: readonly StagedEventRow[]): Promise<void> {
    const { database, roomServers, outside, serverName } = this.#deps
    const staged = rows.map((row) => ({ row, foreign: toForeignEvent(row, roomVersion) }))
    if (!(await roomServers.isInRoom(serverName, roomId))) {
      for (const { foreign } of staged) await outside.receive(foreign)
      await deleteStagedEvents(
        database,
        rows.map((row) => row.stagingId),
      )
      return
    }
    const sorted = sortByPrevEvents(staged.map((one) => ({ ...one, event: one.foreign.event })))
    const results = await this.#appendSafely(roomId, sorted)
    const done: number[] = []
    for (const [index, one] of sorted.entries()) {
      const result = results[index]
      if (result === undefined) continue
      if (typeof result === 'string') done.push(one.row.stagingId)
      else this.#incomplete.add(one)
    }
    if (done.length > 0) await deleteStagedEvents(database, done)
  }

  /** Appends events in one commit, or where that fails each by itself: undefined for those that fail alone and are postponed. */
  async #appendSafely(roomId: RoomId, staged: readonly Staged[]): Promise<(ForeignResult | undefined)[]> {
    const { writer } = this.#deps
    try {
      return [...(await writer.appendForeign({ roomId, events: staged.map((one) => one.foreign) }))]
    } catch (error) {
      if (isConnectionLost(error)) throw error
      const [only] = staged
      if (staged.length === 1 && only) {
        await this.#postpone(only.row, error)
        return [undefined]
      }
      const results: (ForeignResult | undefined)[] = []
      for (const one of staged) results.push(...(await this.#appendSafely(roomId, [one])))
      return results
    }
  }

  /** Fetches what one event needs and appends it, or lets it wait. */
  async #complete({ row, foreign }: Staged): Promise<void> {
    const { roomId, stagingId } = row
    const roomVersion = await this.#deps.roomVersions.get(roomId)
    const { completion, database, isOwner, serverName } = this.#deps
    if (this.#stopped.signal.aborted || !roomVersion || !isOwner(roomId)) return
    const signal = AbortSignal.any([this.#stopped.signal, AbortSignal.timeout(COMPLETION_MS)])
    try {
      // Who brought it may not be who has what it needs, nor mean well.
      const author = serverNameOf(foreign.event.sender)
      const origin = row.attempts % 2 === 0 || author === undefined || author === serverName ? row.origin : author
      const result = await completion.complete(foreign, { room: { roomId, roomVersion }, origin, signal })
      if (typeof result === 'string') await deleteStagedEvents(database, [stagingId])
      else if (!this.#stopped.signal.aborted) await this.#postpone(row, `${result.missing.length} events are missing`)
    } catch (error) {
      if (isConnectionLost(error)) throw error
      await this.#postpone(row, error)
    }
  }

  async #postpone(row: StagedEventRow, reason: unknown): Promise<void> {
    const { database, clock, logger } = this.#deps
    const { stagingId, roomId, eventId, origin, attempts } = row
    const about = { room: roomId, event: eventId, origin, attempts: attempts + 1, reason }
    if (attempts + 1 >= ATTEMPTS_MAX) {
      this.givenUp += 1
      logger.warn('an event of another server is given up', about)
      await deleteStagedEvents(database, [stagingId])
      return
    }
    logger.info('an event of another server has to wait', about)
    await postponeStagedEvent(database, stagingId, clock.nowMs() + Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 4 ** attempts))
  }

  #scheduleSweep(delayMs: number): void {
    this.#sweepTimer = setTimeout(() => {
      this.#deps.background.run('look for staged events', async () => {
        try {
          await this.#sweep()
        } finally {
          if (!this.#stopped.signal.aborted) this.#scheduleSweep(SWEEP_MS)
        }
      })
    }, delayMs).unref()
  }

  /** Finds rooms with staged events: those that were left by a crash, moved here, or whose events are due again. */
  async #sweep(): Promise<void> {
    const { database, clock, isOwner } = this.#deps
    const nowMs = clock.nowMs()
    let after = ''
    for (let isMore = true; isMore && !this.#stopped.signal.aborted;) {
      const rooms = await getStagedRooms(database, { after, nowMs, limit: SWEEP_ROOMS })
      for (const roomId of rooms) if (isOwner(roomId)) this.wake(roomId)
      after = rooms.at(-1) ?? after
      isMore = rooms.length === SWEEP_ROOMS
    }
    if (nowMs < this.#nextPurgeMs) return
    this.#nextPurgeMs = nowMs + PURGE_MS
    await purgeTransactions(database, { receivedBeforeMs: nowMs - TRANSACTION_RETENTION_MS, limit: PURGE_ROWS })
  }
}

/** What was staged has been through the one door. */
function toForeignEvent(row: StagedEventRow, roomVersion: RoomVersion): ForeignEvent {
  return { event: eventFromStoredPdu(JSON.parse(row.json) as Pdu, row.eventId, row.roomId, roomVersion), json: row.json }
}
