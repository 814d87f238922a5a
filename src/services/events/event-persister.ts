import { MatrixError } from '../../protocol/errors.ts'
import type { BuiltEvent } from '../../protocol/events/event-builder.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { EventId, RoomId, ServerName } from '../../protocol/ids.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import type { RoomVersion } from '../../protocol/room-versions/room-version.ts'
import type { SigningKey } from '../../protocol/signing-key.ts'
import { isConnectionLost, isUniqueViolation, sqlState } from '../../storage/database.ts'
import type { Database } from '../../storage/database.ts'
import { getEventIdOfTransaction } from '../../storage/tables/events.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import { assert } from '../../util/assert.ts'
import type { Clock } from '../../util/clock.ts'
import { createDeferred } from '../../util/deferred.ts'
import type { Random } from '../../util/random.ts'
import type { PushActionCalculator } from '../push/push-actions.ts'
import { commitEvents } from './commit-events.ts'
import { applyToModel, buildCreateEvent, buildNextEvent, findUnchangedState, toEventRow } from './event-building.ts'
import type { PendingEvent } from './event-building.ts'
import type { AppendedEvent, EventIntent, EventsWriter } from './event-intent.ts'
import type { EventReader } from './event-reader.ts'
import type { NidAllocator } from './nid-allocator.ts'
import { RoomModel } from './room-model.ts'
import type { StateEntry } from './room-model.ts'
import type { RoomModels } from './room-models.ts'
import { makeRoomPushView } from './room-push-view.ts'

const BATCH_JOBS_MAX = 64
/** Above this many waiting jobs new ones are refused: the caller backs off. */
const QUEUE_JOBS_MAX = 5000
const ATTEMPTS_MAX = 6
const RETRY_DELAY_MS = 25
/** advance_room_heads: another writer was faster. */
const ROOM_HEAD_MOVED = 'MX002'

type JobResult = { roomId: RoomId; events: readonly AppendedEvent[] }

interface Job {
  readonly intents: readonly EventIntent[]
  readonly roomId: RoomId | undefined
  /** Set for a room that does not exist yet. */
  readonly newRoomVersion: RoomVersion | undefined
  readonly done: ReturnType<typeof createDeferred<JobResult>>
  attempts: number
  /** Its batch failed: from now on it commits alone, so that it can not spoil others. */
  isSuspect: boolean
  model: RoomModel | undefined
  redactionTargets: ReadonlyMap<EventId, MatrixEvent>
}

/** A job whose events stand in the model and wait for the commit. */
export interface BuiltJob {
  readonly job: Job
  readonly model: RoomModel
  readonly isNewRoom: boolean
  readonly pending: readonly PendingEvent[]
  /** Per intent: the event that was appended, or the one that was there before. */
  readonly answers: readonly (PendingEvent | EventId)[]
}

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
}

/**
 * The owner of rooms: turns intents into events one after another, so that local traffic never forks a room, and commits
 * what has gathered in one transaction (design: rooms and state, section 1). While a commit is in flight, jobs queue.
 */
export class EventPersister implements EventsWriter {
  readonly #deps: EventPersisterDeps
  readonly #lane = 0
  readonly #queue: Job[] = []
  #isRunning = false
  /** Requests with a transaction id that have no answer yet: the same one again waits for the same answer. */
  readonly #underWay = new Map<string, Promise<JobResult>>()
  readonly #jobs = new Set<Promise<JobResult>>()

  constructor(deps: EventPersisterDeps) {
    this.#deps = deps
  }

  async append(request: {
    readonly roomId: RoomId
    readonly intents: readonly EventIntent[]
  }): Promise<readonly AppendedEvent[]> {
    const result = await this.#submit(request.intents, request.roomId, undefined)
    return result.events
  }

  createRoom(request: { readonly roomVersion: string; readonly intents: readonly EventIntent[] }): Promise<JobResult> {
    const roomVersion = getRoomVersion(request.roomVersion)
    if (!roomVersion) throw new MatrixError('M_UNSUPPORTED_ROOM_VERSION', `Room version ${request.roomVersion} is not supported`)
    return this.#submit(request.intents, undefined, roomVersion)
  }

  async #submit(
    intents: readonly EventIntent[],
    roomId: RoomId | undefined,
    newRoomVersion: RoomVersion | undefined,
  ): Promise<JobResult> {
    if (this.#queue.length >= QUEUE_JOBS_MAX)
      throw new MatrixError('M_LIMIT_EXCEEDED', 'The server is busy', { status: 503, extra: { retry_after_ms: 1000 } })
    const job: Job = {
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
    const { events, models, nids, pushActions } = this.#deps
    const targets = job.intents.flatMap((intent) => (intent.redacts === undefined ? [] : [intent.redacts]))
    const [model, found] = await Promise.all([
      job.roomId === undefined ? undefined : models.get(job.roomId),
      targets.length === 0 ? new Map<EventId, { event: MatrixEvent }>() : events.getEvents(targets),
      nids.ensure(BATCH_JOBS_MAX + job.intents.length),
    ])
    job.model = model
    job.redactionTargets = new Map([...found].map(([eventId, stored]) => [eventId, stored.event]))
    const sender = job.intents[0]?.sender
    if (model && sender) await pushActions.prepare(model.roomId, makeRoomPushView(model, this.#deps.serverName, sender))
    this.#queue.push(job)
    if (!this.#isRunning) void this.#run()
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    await Promise.resolve()
    while (this.#queue.length > 0) {
      const jobs = this.#takeBatch()
      try {
        await this.#deps.nids.ensure(jobs.reduce((sum, job) => sum + job.intents.length + 1, 0))
        await this.#commit(jobs)
      } catch (error) {
        for (const job of jobs) {
          if (isConnectionLost(error)) this.#retry(job, error)
          else job.done.reject(error)
        }
      }
    }
    this.#isRunning = false
  }

  /** Waits until no job is left. New ones must not come any more. */
  async drain(): Promise<void> {
    while (this.#jobs.size > 0) await Promise.allSettled(this.#jobs)
  }

  #takeBatch(): Job[] {
    const suspect = this.#queue.slice(0, BATCH_JOBS_MAX).findIndex((job) => job.isSuspect)
    return this.#queue.splice(0, suspect === -1 ? BATCH_JOBS_MAX : Math.max(1, suspect))
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
    let positions: ReadonlyMap<PendingEvent, number> = new Map()
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
            .map((pending) => ({ position: written.positions.get(pending) as never, row: toEventRow(pending) })),
        })
        await this.#deps.hub.reached('events', this.#lane, Math.max(...written.positions.values()))
      } catch (error) {
        for (const one of built) this.#deps.models.drop(one.model)
        await Promise.all(built.map((one) => this.#recover(one, error, built.length === 1)))
        return
      }
    }
    for (const one of built) {
      one.job.done.resolve({
        roomId: one.model.roomId,
        events: one.answers.map((answer) =>
          typeof answer === 'string'
            ? { eventId: answer, position: undefined }
            : { eventId: answer.event.eventId, position: positions.get(answer) as never },
        ),
      })
    }
  }

  /** Turns a job's intents into events of its model: all or none. */
  #build(job: Job): BuiltJob {
    const { models, clock } = this.#deps
    const nowMs = clock.nowMs()
    const touched = new Map<string, StateEntry | undefined>()
    const pending: PendingEvent[] = []
    const answers: (PendingEvent | EventId)[] = []
    let intents = job.intents
    let model: RoomModel
    if (job.newRoomVersion) {
      const [createIntent, ...others] = job.intents
      assert(createIntent?.type === 'm.room.create', 'a new room begins with its create event')
      const deps = this.#buildDeps(nowMs)
      const built = buildCreateEvent(job.newRoomVersion, createIntent, deps)
      model = newModel(built, this.#deps.nids.take(), job.newRoomVersion)
      const create = this.#apply(model, built, createIntent, deps.eventNid, undefined, touched)
      pending.push(create)
      answers.push(create)
      intents = others
    } else {
      assert(job.model, 'prepared jobs have a model')
      model = models.peek(job.model.roomId) ?? job.model
      if (model.isDropped) throw Object.assign(new Error('The room model was dropped'), { code: ROOM_HEAD_MOVED })
    }
    const undo = model.checkpoint(touched)
    try {
      for (const intent of intents) {
        const unchanged = findUnchangedState(model, intent)
        if (unchanged) {
          answers.push(unchanged.eventId)
          continue
        }
        const deps = this.#buildDeps(nowMs)
        const target = intent.redacts === undefined ? undefined : job.redactionTargets.get(intent.redacts)
        const one = this.#apply(model, buildNextEvent(model, intent, deps), intent, deps.eventNid, target, touched)
        pending.push(one)
        answers.push(one)
      }
    } catch (error) {
      undo()
      throw error
    }
    models.put(model)
    return { job, model, isNewRoom: job.newRoomVersion !== undefined, pending, answers }
  }

  #apply(
    model: RoomModel,
    built: BuiltEvent,
    intent: EventIntent,
    eventNid: number,
    target: MatrixEvent | undefined,
    touched: Map<string, StateEntry | undefined>,
  ): PendingEvent {
    const push = this.#deps.pushActions.evaluate(built.event, makeRoomPushView(model, this.#deps.serverName, intent.sender))
    return applyToModel(model, built, { intent, eventNid, target, push, touched })
  }

  #buildDeps(nowMs: number) {
    const { serverName, signingKey, random, nids } = this.#deps
    return { serverName, signingKey, random, nowMs, eventNid: nids.take() }
  }

  /** A job that could not be built. A repeated transaction is answered with its event even where the sender may no longer send. */
  #refuse(job: Job, error: unknown): void {
    if (sqlState(error) === ROOM_HEAD_MOVED) {
      // Another job's failure dropped the model: that is no attempt of this one. Where many repeat their transactions at
      // once, every commit fails, so a repeated one must not wait for a commit that succeeds.
      job.attempts -= 1
      this.#findRepeated(job).then(
        (eventId) => {
          if (eventId && job.roomId) job.done.resolve({ roomId: job.roomId, events: [{ eventId, position: undefined }] })
          else this.#retry(job, error)
        },
        () => this.#retry(job, error),
      )
      return
    }
    this.#findRepeated(job).then(
      (eventId) => {
        if (eventId && job.roomId) job.done.resolve({ roomId: job.roomId, events: [{ eventId, position: undefined }] })
        else job.done.reject(error)
      },
      () => job.done.reject(error),
    )
  }

  async #findRepeated(job: Job): Promise<EventId | undefined> {
    const [intent] = job.intents
    if (job.intents.length !== 1 || !intent?.transaction || job.roomId === undefined) return undefined
    const { device, id, scope } = intent.transaction
    return getEventIdOfTransaction(this.#deps.database, {
      sender: intent.sender,
      txnDevice: device,
      txnId: id,
      txnScope: scope,
      roomId: job.roomId,
    })
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
          job.done.resolve({
            roomId: one.model.roomId,
            events: one.answers.map((answer) => ({
              eventId: typeof answer === 'string' ? answer : answer.event.eventId,
              position: typeof answer === 'string' ? undefined : (stored.get(answer.event.eventId)?.position as never),
            })),
          })
          return
        }
      } else if (isUniqueViolation(error)) {
        const eventId = await this.#findRepeated(job)
        if (eventId && job.roomId) {
          job.done.resolve({ roomId: job.roomId, events: [{ eventId, position: undefined }] })
          return
        }
      }
    } catch (lookupError) {
      if (!isConnectionLost(lookupError)) {
        job.done.reject(lookupError)
        return
      }
    }
    const isHopeless = isAlone && sqlState(error) !== ROOM_HEAD_MOVED && !isConnectionLost(error)
    if (isHopeless) job.done.reject(error)
    else {
      job.isSuspect = sqlState(error) !== ROOM_HEAD_MOVED
      this.#retry(job, error)
    }
  }

  #retry(job: Job, error: unknown): void {
    if (job.attempts >= ATTEMPTS_MAX) {
      job.done.reject(error)
      return
    }
    setTimeout(
      () => {
        this.#prepareAndQueue(job).catch((prepareError: unknown) => {
          if (isConnectionLost(prepareError)) this.#retry(job, prepareError)
          else job.done.reject(prepareError)
        })
      },
      RETRY_DELAY_MS * 2 ** job.attempts,
    )
  }
}

function transactionKeyOf(job: Job): string | undefined {
  const [intent] = job.intents
  if (job.intents.length !== 1 || !intent?.transaction) return undefined
  const { device, id, scope } = intent.transaction
  return JSON.stringify([job.roomId, intent.sender, device, scope, id])
}

function newModel(built: BuiltEvent, roomNid: number, roomVersion: RoomVersion): RoomModel {
  return new RoomModel({
    roomNid,
    roomId: built.event.roomId,
    roomVersion,
    version: 0,
    extremities: [],
    depth: 0,
    joinedCount: 0,
    invitedCount: 0,
    notifyOrdinal: 0,
  })
}
