import { MatrixError } from '../../protocol/errors.ts'
import type { EventId, RoomId, ServerName } from '../../protocol/ids.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import type { RoomVersion } from '../../protocol/room-versions/room-version.ts'
import type { SigningKey } from '../../protocol/signing-key.ts'
import { isConnectionLost, isUniqueViolation, sqlState } from '../../storage/database.ts'
import type { Database } from '../../storage/database.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { StreamPosition } from '../../streams/streams.ts'
import type { Clock } from '../../util/clock.ts'
import { createDeferred } from '../../util/deferred.ts'
import type { Random } from '../../util/random.ts'
import type { PushActionCalculator } from '../push/push-actions.ts'
import { AuthGraphs } from './auth-graph.ts'
import { commitEvents } from './commit-events.ts'
import type { PendingEvent } from './event-building.ts'
import type { AppendedEvent, EventIntent, EventsWriter } from './event-intent.ts'
import type { EventReader } from './event-reader.ts'
import { toEventRow } from './event-rows.ts'
import type { ForeignEventsWriter, ForeignResult, OutlierResult, OutsideMembership, RoomImport } from './foreign-events.ts'
import { ForeignJobs } from './foreign-jobs.ts'
import { ForeignPlanner } from './foreign-planner.ts'
import type { StateReset } from './foreign-planner.ts'
import { IntentJobs } from './intent-jobs.ts'
import type { NidAllocator } from './nid-allocator.ts'
import { storeOutliers } from './outliers.ts'
import type { OutliersRequest } from './outliers.ts'
import { prepareOutsideRoom } from './outside-rooms.ts'
import { ROOM_HEAD_MOVED, transactionKeyOf } from './persister-jobs.ts'
import type { BuiltJob, ForeignJob, IntentJob, IntentResult, Job } from './persister-jobs.ts'
import type { RoomModels } from './room-models.ts'
import { StateResolver } from './state-resolver.ts'

const BATCH_JOBS_MAX = 64
/** Above this many waiting jobs new ones are refused: the caller backs off. */
const QUEUE_JOBS_MAX = 5000
const ATTEMPTS_MAX = 6
const RETRY_DELAY_MS = 25

export interface EventPersisterDeps {
  readonly database: Database
  readonly hub: StreamHub
  readonly models: RoomModels
  readonly events: EventReader
  readonly nids: NidAllocator
  readonly pushActions: PushActionCalculator
  readonly clock: Clock
  readonly random: Random
  readonly serverName: ServerName
  readonly signingKey: SigningKey
  readonly onStateReset?: ((reset: StateReset) => void) | undefined
}

/**
 * The owner of rooms: turns intents into events one after another, so that local traffic never forks a room, and commits
 * what has gathered in one transaction (design: rooms and state, section 1). While a commit is in flight, jobs queue.
 */
export class EventPersister implements EventsWriter, ForeignEventsWriter {
  readonly #deps: EventPersisterDeps
  readonly #intents: IntentJobs
  readonly #foreign: ForeignJobs
  readonly #lane = 0
  readonly #queue: Job[] = []
  #isRunning = false
  /** Requests with a transaction id that have no answer yet: the same one again waits for the same answer. */
  readonly #underWay = new Map<string, Promise<IntentResult>>()
  readonly #jobs = new Set<Promise<unknown>>()
  /** Rooms for which foreign events are being planned, or wait for their commit: other jobs of the room wait. */
  readonly #gates = new Map<RoomId, { readonly holder: ForeignJob; readonly waiting: Job[] }>()
  /** How often a resolution dropped what no event takes away. */
  stateResets = 0
  /** Attempts that found the room changed by another process, and were made again. */
  headMoves = 0

  constructor(deps: EventPersisterDeps) {
    this.#deps = deps
    this.#intents = new IntentJobs(deps)
    const resolver = new StateResolver({ database: deps.database, authGraphs: new AuthGraphs({ database: deps.database }) })
    const onStateReset = (reset: StateReset): void => {
      this.stateResets += 1
      deps.onStateReset?.(reset)
    }
    this.#foreign = new ForeignJobs({ ...deps, planner: new ForeignPlanner({ ...deps, resolver, onStateReset }) })
  }

  /** Jobs that wait for their commit. */
  get queueLength(): number {
    return this.#queue.length
  }

  async append(request: Parameters<EventsWriter['append']>[0]): Promise<readonly AppendedEvent[]> {
    const result = await this.#submit(request.intents, request.roomId, undefined)
    return result.events
  }

  createRoom(request: { readonly roomVersion: string; readonly intents: readonly EventIntent[] }): Promise<IntentResult> {
    const roomVersion = getRoomVersion(request.roomVersion)
    if (!roomVersion) throw new MatrixError('M_UNSUPPORTED_ROOM_VERSION', `Room version ${request.roomVersion} is not supported`)
    return this.#submit(request.intents, undefined, roomVersion)
  }

  appendForeign(request: Parameters<ForeignEventsWriter['appendForeign']>[0]): Promise<readonly ForeignResult[]> {
    return this.#submitForeign({ ...request, mode: 'append' })
  }

  storeOutliers(request: OutliersRequest): Promise<readonly OutlierResult[]> {
    return storeOutliers(this.#deps, request)
  }

  async importRoom({ roomId, roomVersion, stateEvents, authChain, join }: RoomImport): Promise<ForeignResult> {
    const outliers = [...new Map([...authChain, ...stateEvents].map((one) => [one.event.eventId, one])).values()]
    await this.storeOutliers({ roomId, roomVersion, events: outliers })
    const stateBefore = join.stateBefore ?? stateEvents.map(({ event }) => event.eventId)
    const results = await this.#submitForeign({ roomId, events: [{ ...join, stateBefore }], mode: 'import' })
    return results[0] ?? 'known'
  }

  async setOutsideMembership(request: OutsideMembership): Promise<ForeignResult> {
    await prepareOutsideRoom(this.#deps, request)
    const results = await this.#submitForeign({ roomId: request.roomId, events: [request.event], mode: 'outside' })
    return results[0] ?? 'known'
  }

  appendHistory({
    roomId,
    events,
    before,
  }: Parameters<ForeignEventsWriter['appendHistory']>[0]): Promise<readonly ForeignResult[]> {
    return this.#submitForeign({ roomId, events, mode: 'history', gap: before })
  }

  #submitForeign(request: Pick<ForeignJob, 'roomId' | 'events' | 'mode'> & { gap?: EventId }): Promise<readonly ForeignResult[]> {
    this.#refuseWhenBusy()
    const { roomId, events, mode, gap } = request
    const job: ForeignJob = {
      kind: 'foreign',
      roomId,
      events,
      mode,
      gap,
      done: createDeferred(),
      attempts: 0,
      isSuspect: false,
      plan: undefined,
    }
    const result = this.#prepareAndQueue(job)
      .then(() => job.done.promise)
      .finally(() => this.#jobs.delete(result))
    this.#jobs.add(result)
    return result
  }

  #refuseWhenBusy(): void {
    if (this.#queue.length >= QUEUE_JOBS_MAX)
      throw new MatrixError('M_LIMIT_EXCEEDED', 'The server is busy', { status: 503, extra: { retry_after_ms: 1000 } })
  }

  async #submit(
    intents: readonly EventIntent[],
    roomId: RoomId | undefined,
    newRoomVersion: RoomVersion | undefined,
  ): Promise<IntentResult> {
    this.#refuseWhenBusy()
    const job: IntentJob = {
      kind: 'intents',
      intents,
      roomId,
      newRoomVersion,
      done: createDeferred(),
      attempts: 0,
      isSuspect: false,
      model: undefined,
      redactionTargets: new Map(),
    }
    const key = transactionKeyOf(job)
    const underWay = key === undefined ? undefined : this.#underWay.get(key)
    if (underWay) return underWay
    const result = this.#prepareAndQueue(job)
      .then(() => job.done.promise)
      .finally(() => this.#jobs.delete(result))
    this.#jobs.add(result)
    if (key === undefined) return result
    this.#underWay.set(key, result)
    return result.finally(() => this.#underWay.delete(key))
  }

  /** Loads what building needs; building itself then runs without waiting. */
  async #prepareAndQueue(job: Job): Promise<void> {
    job.attempts += 1
    if (job.kind === 'foreign') {
      job.plan = undefined
      this.#queue.push(job)
      this.#start()
      return
    }
    await this.#intents.prepare(job)
    this.#queue.push(job)
    this.#start()
  }

  #start(): void {
    if (!this.#isRunning) void this.#run()
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    await Promise.resolve()
    while (this.#queue.length > 0) {
      const jobs = this.#takeBatch()
      try {
        await this.#deps.nids.ensure(jobs.reduce((sum, job) => sum + sizeOf(job) + 1, 0))
        await this.#commit(jobs)
      } catch (error) {
        for (const job of jobs) {
          if (isConnectionLost(error)) this.#retry(job, error)
          else this.#fail(job, error)
        }
      }
    }
    this.#isRunning = false
  }

  /** Waits until no job is left. New ones must not come any more. */
  async drain(): Promise<void> {
    while (this.#jobs.size > 0) await Promise.allSettled(this.#jobs)
  }

  /** The next jobs to commit; foreign ones that have no plan are sent to get one, and their rooms are kept as they are. */
  #takeBatch(): Job[] {
    const batch: Job[] = []
    while (batch.length < BATCH_JOBS_MAX) {
      const [job] = this.#queue
      if (!job || (job.isSuspect && batch.length > 0)) break
      const gate = job.roomId === undefined || this.#gates.size === 0 ? undefined : this.#gates.get(job.roomId)
      const mustPlan = job.kind === 'foreign' && !job.plan && !gate
      // What the batch has of its room is committed first.
      if (mustPlan && batch.some((other) => other.roomId === job.roomId)) break
      this.#queue.shift()
      if (gate && gate.holder !== job) gate.waiting.push(job)
      else if (mustPlan) this.#plan(job)
      else {
        batch.push(job)
        if (job.isSuspect) break
      }
    }
    return batch
  }

  #plan(job: ForeignJob): void {
    this.#gates.set(job.roomId, { holder: job, waiting: [] })
    this.#foreign.plan(job).then(
      () => {
        this.#queue.unshift(job)
        this.#start()
      },
      (error: unknown) => {
        if (isConnectionLost(error)) this.#retry(job, error)
        else this.#fail(job, error)
      },
    )
  }

  /** Lets the other jobs of a room go on. */
  #release(job: Job): void {
    const gate = job.roomId === undefined ? undefined : this.#gates.get(job.roomId)
    if (!gate || gate.holder !== job) return
    this.#gates.delete(gate.holder.roomId)
    this.#queue.unshift(...gate.waiting)
    this.#start()
  }

  #fail(job: Job, error: unknown): void {
    this.#release(job)
    job.done.reject(error)
  }

  async #commit(jobs: readonly Job[]): Promise<void> {
    const built: BuiltJob[] = []
    for (const job of jobs) {
      try {
        const one = this.#build(job)
        built.push(one)
      } catch (error) {
        this.#refuse(job, error)
      }
    }
    const changing = built.filter((one) => one.pending.length > 0)
    let positions: ReadonlyMap<PendingEvent, StreamPosition> = new Map()
    if (changing.length > 0) {
      try {
        const written = await commitEvents(this.#deps, { lane: this.#lane, jobs: changing, nowMs: this.#deps.clock.nowMs() })
        positions = written.positions
        this.#deps.hub.commit({
          stream: 'events',
          lane: this.#lane,
          prev: written.prev,
          rows: changing
            .flatMap((one) => one.pending)
            .flatMap((pending) => {
              const position = written.positions.get(pending)
              return position === undefined ? [] : [{ position, row: toEventRow(pending) }]
            }),
        })
        await this.#deps.hub.reached('events', this.#lane, Math.max(0, ...written.positions.values()))
      } catch (error) {
        for (const one of built) this.#deps.models.drop(one.model)
        await Promise.all(built.map((one) => this.#recover(one, error, built.length === 1)))
        return
      }
    }
    for (const one of built) {
      this.#release(one.job)
      one.settle(positions)
    }
  }

  #build(job: Job): BuiltJob {
    if (job.kind === 'intents') return this.#intents.build(job)
    const built = this.#foreign.build(job)
    if (!built) throw Object.assign(new Error('The room model was dropped'), { code: ROOM_HEAD_MOVED })
    return built
  }

  /** A job that could not be built. A repeated transaction is answered with its event even where the sender may no longer send. */
  #refuse(job: Job, error: unknown): void {
    const isMoved = sqlState(error) === ROOM_HEAD_MOVED
    // Another job's failure dropped the model: that is no attempt of this one. Where many repeat their transactions at
    // once, every commit fails, so a repeated one must not wait for a commit that succeeds.
    if (isMoved) job.attempts -= 1
    const refuse = (): void => (isMoved ? this.#retry(job, error) : this.#fail(job, error))
    if (job.kind === 'foreign') {
      refuse()
      return
    }
    this.#intents.findRepeated(job).then((eventId) => {
      if (eventId && job.roomId) job.done.resolve({ roomId: job.roomId, events: [{ eventId, position: undefined }] })
      else refuse()
    }, refuse)
  }

  /** After a failed commit: a job alone in its batch learns its own fate, one of several is tried again by itself. */
  async #recover(one: BuiltJob, error: unknown, isAlone: boolean): Promise<void> {
    const { job } = one
    try {
      if (isConnectionLost(error)) {
        // The COMMIT may have arrived. Event ids tell.
        const stored = await this.#deps.events.getEvents(one.pending.map((pending) => pending.event.eventId))
        if (one.pending.length > 0 && stored.size === one.pending.length) {
          const last = Math.max(...[...stored.values()].map((event) => event.position ?? 0))
          await this.#deps.hub.catchUp('events', this.#lane, last)
          this.#release(job)
          one.settle(
            new Map(one.pending.map((pending) => [pending, stored.get(pending.event.eventId)?.position as StreamPosition])),
          )
          return
        }
      } else if (isUniqueViolation(error) && job.kind === 'intents') {
        const eventId = await this.#intents.findRepeated(job)
        if (eventId && job.roomId) {
          job.done.resolve({ roomId: job.roomId, events: [{ eventId, position: undefined }] })
          return
        }
      }
    } catch (lookupError) {
      if (!isConnectionLost(lookupError)) {
        this.#fail(job, lookupError)
        return
      }
    }
    // Where the same event was stored elsewhere meanwhile, the next plan knows it.
    const isRaced = sqlState(error) === ROOM_HEAD_MOVED || (job.kind === 'foreign' && isUniqueViolation(error))
    if (isAlone && !isRaced && !isConnectionLost(error)) this.#fail(job, error)
    else {
      if (isRaced) this.headMoves += 1
      job.isSuspect = sqlState(error) !== ROOM_HEAD_MOVED
      this.#retry(job, error)
    }
  }

  #retry(job: Job, error: unknown): void {
    if (job.attempts >= ATTEMPTS_MAX) {
      this.#fail(job, error)
      return
    }
    this.#release(job)
    setTimeout(
      () => {
        this.#prepareAndQueue(job).catch((prepareError: unknown) => {
          if (isConnectionLost(prepareError)) this.#retry(job, prepareError)
          else this.#fail(job, prepareError)
        })
      },
      RETRY_DELAY_MS * 2 ** job.attempts,
    )
  }
}

function sizeOf(job: Job): number {
  return job.kind === 'intents' ? job.intents.length : 2 * (job.plan?.events.length ?? 0)
}
