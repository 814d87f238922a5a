import { getPowerLevelsOf, requiredPowerLevel, userPowerLevel } from '../../protocol/auth-rules/power-levels.ts'
import { MatrixError } from '../../protocol/errors.ts'
import type { ServerName, UserId } from '../../protocol/ids.ts'
import type { SigningKey } from '../../protocol/signing-key.ts'
import type { Database } from '../../storage/database.ts'
import { insertSlots } from '../../storage/operations/event-graph-writes.ts'
import { getHistoryPlace } from '../../storage/tables/event-graph.ts'
import { HISTORY_ORDINALS_MAX } from '../../streams/history-place.ts'
import { assert } from '../../util/assert.ts'
import type { Clock } from '../../util/clock.ts'
import type { Random } from '../../util/random.ts'
import type { PushActionCalculator, PushOutcome } from '../push/push-actions.ts'
import type { ForeignEvent } from './foreign-events.ts'
import { applyChange, buildNextEvent, isEffectiveRedaction, redactEntry, relationOf } from './event-building.ts'
import type { PendingEvent } from './event-building.ts'
import type { EventReader } from './event-reader.ts'
import type { ForeignPlanner, PlannedEvent } from './foreign-planner.ts'
import type { NidAllocator } from './nid-allocator.ts'
import type { BuiltJob, ForeignJob } from './persister-jobs.ts'
import { planOutside } from './outside-rooms.ts'
import { RoomDraft } from './room-draft.ts'
import { StateEntry } from './room-model.ts'
import type { RoomModel } from './room-model.ts'
import type { RoomModels } from './room-models.ts'
import { makeRoomPushView } from './room-push-view.ts'

/** Forward extremities that may stay in a room with local users (design: rooms and state, invariant 5). */
const EXTREMITIES_MAX = 10

/** So many changes of state are worth a statement of their own before the commit. */
const SLOTS_AHEAD_MIN = 100

export interface ForeignJobsDeps {
  readonly database: Database
  readonly models: RoomModels
  readonly planner: ForeignPlanner
  readonly events: EventReader
  readonly nids: NidAllocator
  readonly pushActions: PushActionCalculator
  readonly clock: Clock
  readonly random: Random
  readonly serverName: ServerName
  readonly signingKey: SigningKey
}

/** Plans and builds jobs of foreign events for the persister. */
export class ForeignJobs {
  readonly #deps: ForeignJobsDeps

  constructor(deps: ForeignJobsDeps) {
    this.#deps = deps
  }

  /** Works out all that the job's commit needs. Nothing may be appended to the room before the plan is built or given up. */
  async plan(job: ForeignJob): Promise<void> {
    const { models, planner, pushActions, serverName } = this.#deps
    const model = await models.get(job.roomId)
    const mode = job.mode === 'import' && this.#hasLocalUsers(model) ? 'append' : job.mode
    if (mode === 'append' && model.extremities.length === 0)
      throw new MatrixError('M_NOT_FOUND', 'Nobody of this server was ever in the room')
    const { plan, draft } =
      mode === 'outside'
        ? { plan: await planOutside(this.#deps, model, onlyEventOf(job)), draft: new RoomDraft(model) }
        : await planner.plan(model, job.events, mode)
    const events = [...plan.events]
    if (mode === 'append') {
      while (draft.extremities.length > EXTREMITIES_MAX) {
        const merge = await this.#planMerge(draft)
        if (!merge) break
        events.push(merge)
      }
    }
    const [first] = events
    if (first && mode !== 'history')
      await pushActions.prepare(model.roomId, makeRoomPushView(model, serverName, first.event.sender))
    await this.#numberSlots(events)
    const history = job.gap === undefined ? undefined : await getHistoryPlace(this.#deps.database, job.gap)
    if (job.gap !== undefined && !history)
      throw new MatrixError('M_NOT_FOUND', 'The event before which history is missing is not known')
    if (history && history.ordinal - events.length < -HISTORY_ORDINALS_MAX)
      throw new MatrixError('M_LIMIT_EXCEEDED', 'The gap before this event is full')
    job.plan = { ...plan, events, history }
  }

  /** A room that is taken over fills many slots: those without a number get it before the commit holds the lane. */
  async #numberSlots(events: readonly PlannedEvent[]): Promise<void> {
    const slots = events.flatMap((planned) => planned.effect?.changes ?? [])
    if (slots.length > SLOTS_AHEAD_MIN) await insertSlots(this.#deps.database, slots)
  }

  #hasLocalUsers(model: RoomModel): boolean {
    for (const entry of model.entries()) if (isJoined(entry) && this.#isLocal(entry.stateKey)) return true
    return false
  }

  #isLocal(userId: string): boolean {
    return userId.endsWith(`:${this.#deps.serverName}`)
  }

  /** An event that clients do not see, of a local user who may send it, after as many extremities as one event of ours names. */
  async #planMerge(draft: RoomDraft): Promise<PlannedEvent | undefined> {
    const { planner, nids, serverName, signingKey, random, clock } = this.#deps
    const levels = getPowerLevelsOf(draft.roomVersion, draft.lookup)
    const required = requiredPowerLevel(levels, { type: 'org.matrix.dummy_event', isState: false })
    let sender: UserId | undefined
    let best = -Infinity
    for (const member of draft.members()) {
      if (member.content['membership'] !== 'join' || member.stateKey === undefined || !this.#isLocal(member.stateKey)) continue
      const level = userPowerLevel(levels, member.stateKey)
      if (level < required || level <= best) continue
      best = level
      sender = member.stateKey as UserId
    }
    if (sender === undefined) return undefined
    const extremities = draft.extremities.slice(0, EXTREMITIES_MAX)
    await nids.ensure(2)
    const intent = { type: 'org.matrix.dummy_event', sender, content: {} }
    const build = { serverName, signingKey, random, nowMs: clock.nowMs(), eventNid: 0 }
    return planner.planMerge(draft, extremities, (lookup) => {
      const { roomId, roomVersion, depth } = draft
      try {
        return buildNextEvent({ roomId, roomVersion, depth, extremities, lookup }, intent, build)
      } catch (error) {
        if (error instanceof MatrixError) return undefined
        throw error
      }
    })
  }

  /** Applies a plan to its model. Returns undefined where the model is another by now: then the plan is void. */
  build(job: ForeignJob): BuiltJob | undefined {
    const { models, nids } = this.#deps
    const { plan } = job
    assert(plan, 'a foreign job is planned before it is built')
    const { model } = plan
    const held = models.peek(job.roomId)
    if (model.isDropped || (held && held !== model)) return undefined
    const touched = new Map<string, StateEntry | undefined>()
    const undo = model.checkpoint(touched)
    let ordinal = plan.history ? plan.history.ordinal - plan.events.length : 0
    try {
      const pending = plan.events.map((planned) => {
        const history = plan.history && { position: plan.history.position, ordinal: ordinal++ }
        const { before } = planned
        // Without a row, "as of the position before" would be read into it.
        if (before && before.overlayId === undefined && (planned.effect || history || before.overlay.size > 0))
          before.overlayId = nids.take()
        return this.#apply(model, planned, history, touched)
      })
      models.put(model)
      return {
        job,
        model,
        isNewRoom: false,
        pending,
        settle: () => {
          this.#deps.events.forget(plan.events.flatMap((planned) => (planned.isPromoted ? [planned.event.eventId] : [])))
          job.done.resolve(plan.results)
        },
      }
    } catch (error) {
      undo()
      throw error
    }
  }

  #apply(
    model: RoomModel,
    planned: PlannedEvent,
    history: { position: number; ordinal: number } | undefined,
    touched: Map<string, StateEntry | undefined>,
  ): PendingEvent {
    const { event, eventNid, effect, flags, before } = planned
    const isAccepted = effect !== undefined || (history !== undefined && flags === 0)
    const target = planned.redactionTarget
    const push: PushOutcome = effect
      ? this.#deps.pushActions.evaluate(event, makeRoomPushView(model, this.#deps.serverName, event.sender))
      : { isNotifying: false, threadId: undefined, actions: [] }
    const redacts = isAccepted && isEffectiveRedaction(model, event, target) ? event.redacts : undefined
    const redaction =
      isAccepted && planned.redaction && isEffectiveRedaction(model, planned.redaction, event) ? planned.redaction : undefined
    const changes = (effect?.changes ?? []).map(({ type, stateKey, value }) => {
      const after =
        value && new StateEntry({ eventNid: value.eventNid, eventId: value.event.eventId, type, stateKey }, value.event)
      return applyChange(model, { type, stateKey, after }, touched)
    })
    if (redaction) redactEntry(model, event, touched)
    if (redacts !== undefined && target) redactEntry(model, target, touched)
    if (effect) {
      model.extremities = effect.extremities
      model.depth = effect.extremities.reduce((depth, one) => Math.max(depth, one.event.depth), 0)
    }
    if (push.isNotifying) model.notifyOrdinal += 1
    return {
      eventNid,
      event,
      json: planned.json,
      transaction: undefined,
      changes,
      replaced: changes.find(({ after }) => after?.eventId === event.eventId)?.before,
      redacts,
      relation: relationOf(event),
      push,
      notifyOrdinal: model.notifyOrdinal,
      prevNids: planned.prevNids,
      authNids: planned.authNids,
      foreign: {
        flags,
        isInTimeline: effect !== undefined,
        isPromoted: planned.isPromoted,
        before,
        missingPrevIds: planned.missingPrevIds,
        isAwaited: planned.isAwaited,
        redaction,
        history,
      },
    }
  }
}

function onlyEventOf(job: ForeignJob): ForeignEvent {
  const [event] = job.events
  assert(event, 'a membership from outside comes with its event')
  return event
}

function isJoined(entry: StateEntry): boolean {
  return entry.type === 'm.room.member' && entry.event.content['membership'] === 'join'
}
