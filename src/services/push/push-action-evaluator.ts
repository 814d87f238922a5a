import { LRUCache } from 'lru-cache'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { RoomId, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { PushContext } from '../../protocol/push-rules/condition.ts'
import { evaluatePushRules, hasIntentionalMentions } from '../../protocol/push-rules/evaluator.ts'
import type { CompiledRuleset } from '../../protocol/push-rules/evaluator.ts'
import type { EventPushClass } from '../../protocol/push-rules/event-class.ts'
import { EventClassifier } from '../../protocol/push-rules/event-class.ts'
import { summarizeActions } from '../../protocol/push-rules/push-rule.ts'
import { NO_USER_PUSH_RULES } from '../../protocol/push-rules/ruleset.ts'
import { memberChangesOf } from '../../streams/event-rows.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import { cacheOfEntries } from '../../util/lru-cache.ts'
import { isImplicitReceipt, relationTypeOf, threadIdOf } from './implicit-receipt.ts'
import { EVERYBODY } from './push-actions.ts'
import type { PushActionCalculator, PushActionRow, PushBaseline, PushOutcome, RoomPushView } from './push-actions.ts'
import { LoadedPushRules } from './push-rules.ts'
import type { PushRules } from './push-rules.ts'
import { RoomRules } from './room-rules.ts'
import { NOBODY } from './rule-profile.ts'

/** Local members over all rooms that are kept in memory. */
const MEMBERS_MAX = 500_000
/** Members that an empty room counts as. */
const ROOM_WEIGHT = 25
const DEFAULT_RULES_MAX = 10_000
/** Rounds in which `prepare` reads what went stale while it was reading. */
const REFRESH_ROUNDS_MAX = 5

interface Verdict {
  readonly notify: boolean
  readonly highlight: boolean
}

const NOTHING: Verdict = { notify: false, highlight: false }

/**
 * Finds out for whom an event notifies: its class under default rules once, then one evaluation for each group of members
 * with equal rules of their own, and one for each user whom the event may name (design: sync and push, section 3).
 */
export class PushActionEvaluator implements PushActionCalculator {
  readonly #pushRules: PushRules
  readonly #classifier: EventClassifier
  readonly #rooms: LRUCache<RoomId, RoomRules>
  readonly #loading = new Map<RoomId, Promise<void>>()
  /** Compiled default rules of users who were named lately. */
  readonly #defaults = cacheOfEntries<UserId, LoadedPushRules>(DEFAULT_RULES_MAX)

  constructor(deps: { pushRules: PushRules; hub: StreamHub }) {
    this.#pushRules = deps.pushRules
    this.#classifier = new EventClassifier(deps.pushRules.options)
    this.#rooms = new LRUCache<RoomId, RoomRules>({
      maxSize: MEMBERS_MAX,
      sizeCalculation: (room) => Math.min(room.memberCount + room.stale.size + ROOM_WEIGHT, MEMBERS_MAX),
    })
    deps.hub.onRow('push_rules', ({ userId }) => {
      for (const room of this.#rooms.values()) if (room.hasMember(userId as UserId)) room.stale.add(userId as UserId)
    })
    deps.hub.onRow('events', (row) => {
      for (const { membership, stateKey } of memberChangesOf(row))
        if (membership === 'join') this.#rooms.peek(row.roomId as RoomId)?.stale.add(stateKey as UserId)
    })
    for (const stream of ['events', 'push_rules'] as const) deps.hub.onReset(stream, () => this.#rooms.clear())
    deps.hub.onPurge(({ roomId }) => void this.#rooms.delete(roomId as RoomId))
  }

  async prepare(roomId: RoomId, view: RoomPushView): Promise<void> {
    for (let round = 0; round < REFRESH_ROUNDS_MAX; round++) {
      const loading = this.#loading.get(roomId)
      const room = this.#rooms.get(roomId)
      if (loading === undefined && room?.stale.size === 0) return
      await (loading ?? this.#startRefresh(room ?? this.#addRoom(roomId, view), view))
    }
  }

  #addRoom(roomId: RoomId, view: RoomPushView): RoomRules {
    const room = new RoomRules(roomId)
    for (const [userId, { displayName }] of view.localMembers()) {
      room.addMember(userId, displayName)
      room.stale.add(userId)
    }
    this.#rooms.set(roomId, room)
    return room
  }

  #startRefresh(room: RoomRules, view: RoomPushView): Promise<void> {
    const refreshing = this.#refresh(room, view).finally(() => this.#loading.delete(room.roomId))
    this.#loading.set(room.roomId, refreshing)
    return refreshing
  }

  async #refresh(room: RoomRules, view: RoomPushView): Promise<void> {
    for (const userId of room.stale) if (!view.isLocal(userId)) room.stale.delete(userId)
    room.addStaleNames(view)
    const userIds = [...room.stale]
    // Whoever changes his rules while they are read is stale again afterwards.
    room.stale.clear()
    try {
      room.setRules(userIds, await this.#pushRules.getCustomized(userIds))
    } catch (error) {
      for (const userId of userIds) room.stale.add(userId)
      throw error
    }
  }

  evaluate(event: MatrixEvent, view: RoomPushView): PushOutcome {
    const room = this.#rooms.get(event.roomId)
    const eventClass = this.#classifier.classify(event, view)
    const threadId = threadIdOf(event)
    const actions: PushActionRow[] = []
    const classVerdict: Verdict = { notify: eventClass.notifies, highlight: eventClass.highlights }
    // Plain messages of the main timeline are counted by the room's ordinal, without a row.
    if ((threadId !== undefined && eventClass.notifies) || eventClass.highlights)
      actions.push(buildRow(EVERYBODY, classVerdict, classVerdict))
    const join = this.#noteMember(event, view, room)
    if (join) actions.push(join)
    const evaluation = new Evaluation(event, view, classVerdict, room, actions)
    evaluation.decideSender()
    for (const userId of findCandidates(event, eventClass, room)) {
      if (!view.isLocal(userId)) continue
      evaluation.decideOne(userId, room?.rulesOf(userId) ?? this.#defaultRulesOf(userId), {
        isMember: userId !== eventClass.invitee,
      })
    }
    if (room) for (const group of room.groups.values()) evaluation.decideGroup(group)
    return { isNotifying: eventClass.notifies, threadId, actions }
  }

  /** A local user's join: his counting begins. Also makes the user's new name known at once. */
  #noteMember(event: MatrixEvent, view: RoomPushView, room: RoomRules | undefined): PushActionRow | undefined {
    const userId = event.stateKey
    if (event.type !== 'm.room.member' || userId === undefined || event.content['membership'] !== 'join' || !view.isLocal(userId))
      return undefined
    const displayName = event.content['displayname']
    room?.addMember(userId as UserId, typeof displayName === 'string' ? displayName : undefined)
    if (isJoined(view, userId)) return undefined
    return { ...buildRow(userId as UserId, NOTHING, NOTHING), kind: 'join' }
  }

  #defaultRulesOf(userId: UserId): LoadedPushRules {
    let rules = this.#defaults.get(userId)
    if (!rules) {
      rules = new LoadedPushRules({ userId, rules: NO_USER_PUSH_RULES, position: 0, options: this.#pushRules.options })
      this.#defaults.set(userId, rules)
    }
    return rules
  }
}

/** One event's evaluation: decides users and collects the rows of those for whom it is not as their baseline says. */
class Evaluation {
  readonly #event: MatrixEvent
  readonly #view: RoomPushView
  readonly #classVerdict: Verdict
  readonly #room: RoomRules | undefined
  readonly #actions: PushActionRow[]
  readonly #decided = new Set<UserId>()
  #context: Omit<PushContext, 'userId' | 'displayName'> | undefined

  constructor(
    event: MatrixEvent,
    view: RoomPushView,
    classVerdict: Verdict,
    room: RoomRules | undefined,
    actions: PushActionRow[],
  ) {
    this.#event = event
    this.#view = view
    this.#classVerdict = classVerdict
    this.#room = room
    this.#actions = actions
  }

  /** Nobody is notified of his own events. Most of them mark all before them as read, so that nothing has to be stored. */
  decideSender(): void {
    const { sender, type, stateKey } = this.#event
    this.#decided.add(sender)
    if (!this.#classVerdict.notify || !this.#view.isLocal(sender)) return
    if (isImplicitReceipt({ type, stateKey, relationType: relationTypeOf(this.#event) })) return
    this.#store(sender, NOTHING, this.#room?.rulesOf(sender)?.profileFor(this.#view.roomId).baseline ?? 'class')
  }

  /** Evaluates all of the user's rules. */
  decideOne(userId: UserId, rules: LoadedPushRules, { isMember }: { isMember: boolean }): void {
    if (this.#decided.has(userId) || (isMember && !isJoined(this.#view, userId))) return
    this.#decided.add(userId)
    const verdict = this.#evaluate(rules.compiled, userId, this.#view.getDisplayName(userId))
    this.#store(userId, verdict, isMember ? rules.profileFor(this.#view.roomId).baseline : 'class')
  }

  decideGroup(group: {
    readonly compiled: CompiledRuleset
    readonly baseline: PushBaseline
    readonly users: ReadonlySet<UserId>
  }): void {
    const verdict = this.#evaluate(group.compiled, NOBODY, undefined)
    if (isSame(verdict, this.#expected(group.baseline))) return
    for (const userId of group.users) {
      if (!this.#decided.has(userId) && isJoined(this.#view, userId)) this.#store(userId, verdict, group.baseline)
    }
  }

  #evaluate(compiled: CompiledRuleset, userId: UserId, displayName: string | undefined): Verdict {
    // Power levels are computed when they are asked for: once is enough.
    this.#context ??= {
      roomMemberCount: this.#view.memberCount,
      senderPowerLevel: this.#view.senderPowerLevel,
      notificationPowerLevels: this.#view.notificationPowerLevels,
    }
    return summarizeActions(evaluatePushRules(compiled, this.#event, { ...this.#context, userId, displayName }).actions)
  }

  #expected(baseline: PushBaseline): Verdict {
    return baseline === 'class' ? this.#classVerdict : NOTHING
  }

  #store(userId: UserId, verdict: Verdict, baseline: PushBaseline): void {
    if (!isSame(verdict, this.#expected(baseline))) this.#actions.push(buildRow(userId, verdict, this.#classVerdict))
  }
}

/** Users whom the event may mean: mentioned, invited, perhaps named in the body, or with rules about their name. */
function findCandidates(event: MatrixEvent, { invitee }: EventPushClass, room: RoomRules | undefined): Set<UserId> {
  const candidates = new Set<UserId>(room?.personal)
  if (invitee !== undefined) candidates.add(invitee as UserId)
  const mentions = event.content['m.mentions']
  const mentioned = isJsonObject(mentions) ? mentions['user_ids'] : undefined
  if (Array.isArray(mentioned)) {
    for (const userId of mentioned as unknown[]) if (typeof userId === 'string') candidates.add(userId as UserId)
  }
  // Also where the default rules would not look (notices): the user may have switched off the rule that keeps them from it.
  const body = event.content['body']
  if (room && typeof body === 'string' && !hasIntentionalMentions(event)) {
    for (const userId of room.findNamed(body)) candidates.add(userId)
  }
  return candidates
}

function isJoined(view: RoomPushView, userId: string): boolean {
  return view.getStateContent('m.room.member', userId)?.['membership'] === 'join'
}

function isSame(a: Verdict, b: Verdict): boolean {
  return a.notify === b.notify && a.highlight === b.highlight
}

function buildRow(userId: UserId | typeof EVERYBODY, verdict: Verdict, classVerdict: Verdict): PushActionRow {
  return {
    userId,
    kind: 'action',
    isNotify: verdict.notify,
    isHighlight: verdict.highlight,
    isClassNotify: classVerdict.notify,
    isClassHighlight: classVerdict.highlight,
  }
}
