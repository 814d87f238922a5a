import type { BuiltEvent } from '../../protocol/events/event-builder.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { EventId, ServerName } from '../../protocol/ids.ts'
import type { SigningKey } from '../../protocol/signing-key.ts'
import type { Queryable } from '../../storage/database.ts'
import { getEventIdOfTransaction } from '../../storage/tables/events.ts'
import { assert } from '../../util/assert.ts'
import type { Clock } from '../../util/clock.ts'
import type { Random } from '../../util/random.ts'
import type { PushActionCalculator } from '../push/push-actions.ts'
import { applyToModel, buildCreateEvent, buildNextEvent, findUnchangedState } from './event-building.ts'
import type { PendingEvent } from './event-building.ts'
import type { EventIntent } from './event-intent.ts'
import type { EventReader } from './event-reader.ts'
import type { NidAllocator } from './nid-allocator.ts'
import { newModel, ROOM_HEAD_MOVED } from './persister-jobs.ts'
import type { BuiltJob, IntentJob } from './persister-jobs.ts'
import type { RoomModel, StateEntry } from './room-model.ts'
import type { RoomModels } from './room-models.ts'
import { makeRoomPushView } from './room-push-view.ts'

/** Numbers that must be at hand before a job waits: its batch may be full. */
const BATCH_JOBS_MAX = 64

export interface IntentJobsDeps {
  readonly database: Queryable
  readonly models: RoomModels
  readonly events: EventReader
  readonly nids: NidAllocator
  readonly pushActions: PushActionCalculator
  readonly clock: Clock
  readonly random: Random
  readonly serverName: ServerName
  readonly signingKey: SigningKey
}

/** Prepares and builds jobs of intents for the persister. */
export class IntentJobs {
  readonly #deps: IntentJobsDeps

  constructor(deps: IntentJobsDeps) {
    this.#deps = deps
  }

  /** Loads what building needs; building itself then runs without waiting. */
  async prepare(job: IntentJob): Promise<void> {
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
  }

  /** Turns a job's intents into events of its model: all or none. */
  build(job: IntentJob): BuiltJob {
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
    return {
      job,
      model,
      isNewRoom: job.newRoomVersion !== undefined,
      pending,
      settle: (positions) =>
        job.done.resolve({
          roomId: model.roomId,
          events: answers.map((answer) =>
            typeof answer === 'string'
              ? { eventId: answer, position: undefined }
              : { eventId: answer.event.eventId, position: positions.get(answer) as never },
          ),
        }),
    }
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

  /** The event of an earlier request with the job's transaction id. */
  async findRepeated(job: IntentJob): Promise<EventId | undefined> {
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
}
