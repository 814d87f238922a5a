import type { EventId, RoomId, UserId } from '../../src/protocol/ids.ts'
import type { JsonObject } from '../../src/protocol/json.ts'
import { isJsonObject } from '../../src/protocol/json.ts'
import { compileRuleset, evaluatePushRules } from '../../src/protocol/push-rules/evaluator.ts'
import { summarizeActions } from '../../src/protocol/push-rules/push-rule.ts'
import { buildRuleset, NO_USER_PUSH_RULES } from '../../src/protocol/push-rules/ruleset.ts'
import type { UserPushRules } from '../../src/protocol/push-rules/ruleset.ts'

const OPTIONS = { hasLegacyMentions: true }

interface NaiveEvent {
  readonly eventId: EventId
  readonly sender: UserId
  readonly threadId: string
  readonly isState: boolean
  readonly outcomes: ReadonlyMap<UserId, { notify: boolean; highlight: boolean }>
}

interface Reader {
  rules: UserPushRules
  displayName: string | undefined
  isJoined: boolean
  joinedAt: number
  unthreaded: number
  readonly threads: Map<string, number>
}

/** Counts by evaluating every rule of every member for every event: slow, plain, and what the specification says. */
export class NaiveCounts {
  readonly #roomId: RoomId
  readonly #powerLevels: ReadonlyMap<UserId, number>
  readonly events: NaiveEvent[] = []
  readonly #readers = new Map<UserId, Reader>()

  constructor(roomId: RoomId, powerLevels: ReadonlyMap<UserId, number>) {
    this.#roomId = roomId
    this.#powerLevels = powerLevels
  }

  reader(userId: UserId): Reader {
    let reader = this.#readers.get(userId)
    if (!reader) {
      reader = {
        rules: NO_USER_PUSH_RULES,
        displayName: undefined,
        isJoined: false,
        joinedAt: -1,
        unthreaded: -1,
        threads: new Map(),
      }
      this.#readers.set(userId, reader)
    }
    return reader
  }

  get joinedCount(): number {
    return [...this.#readers.values()].filter((reader) => reader.isJoined).length
  }

  addEvent(eventId: EventId, event: { sender: UserId; type: string; content: JsonObject; stateKey?: string | undefined }): void {
    const { sender, type, content, stateKey } = event
    const relation = isJsonObject(content['m.relates_to']) ? content['m.relates_to'] : {}
    const relationType = relation['rel_type']
    const threadId = relationType === 'm.thread' ? String(relation['event_id']) : ''
    const outcomes = new Map<UserId, { notify: boolean; highlight: boolean }>()
    for (const [userId, reader] of this.#readers) {
      if (!reader.isJoined || userId === sender) continue
      const compiled = compileRuleset(buildRuleset(userId, reader.rules, OPTIONS))
      const pushEvent = { type, content, sender, roomId: this.#roomId, stateKey, originServerTs: 0, eventId }
      outcomes.set(
        userId,
        summarizeActions(
          evaluatePushRules(compiled, pushEvent, {
            userId,
            displayName: reader.displayName,
            roomMemberCount: this.joinedCount,
            senderPowerLevel: this.#powerLevels.get(sender) ?? 0,
            notificationPowerLevels: {},
          }).actions,
        ),
      )
    }
    const index = this.events.length
    this.events.push({ eventId, sender, threadId, isState: stateKey !== undefined, outcomes })
    if (stateKey === undefined && relationType !== 'm.annotation' && relationType !== 'm.replace')
      this.#readTo(this.reader(sender), threadId, index)
    if (type === 'm.room.member' && stateKey !== undefined) this.#applyMember(this.reader(stateKey as UserId), content, index)
  }

  #applyMember(reader: Reader, content: JsonObject, index: number): void {
    const isJoined = content['membership'] === 'join'
    if (isJoined && !reader.isJoined) reader.joinedAt = index
    reader.isJoined = isJoined
    reader.displayName = isJoined && typeof content['displayname'] === 'string' ? content['displayname'] : undefined
  }

  #readTo(reader: Reader, threadId: string, index: number): void {
    reader.threads.set(threadId, Math.max(index, reader.threads.get(threadId) ?? -1))
  }

  /** `thread`: undefined for an unthreaded receipt, '' for the main timeline. */
  addReceipt(userId: UserId, index: number, thread: string | undefined): void {
    const reader = this.reader(userId)
    if (thread === undefined) reader.unthreaded = Math.max(reader.unthreaded, index)
    else this.#readTo(reader, thread, index)
  }

  /** Counts by thread, '' for the main timeline; threads without notifications are left out. */
  count(userId: UserId): Record<string, { notificationCount: number; highlightCount: number }> {
    const reader = this.reader(userId)
    const counts: Record<string, { notificationCount: number; highlightCount: number }> = {
      '': { notificationCount: 0, highlightCount: 0 },
    }
    for (const [index, event] of this.events.entries()) {
      if (index <= Math.max(reader.joinedAt, reader.unthreaded, reader.threads.get(event.threadId) ?? -1)) continue
      const outcome = event.outcomes.get(userId)
      if (!outcome?.notify) continue
      const count = (counts[event.threadId] ??= { notificationCount: 0, highlightCount: 0 })
      count.notificationCount += 1
      if (outcome.highlight) count.highlightCount += 1
    }
    return counts
  }
}
