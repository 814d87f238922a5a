import { describe, expect, it } from 'vitest'
import type { EventDraft } from '../../../tests/kit/random-dag.ts'
import { ALICE, BOB, CAROL, DAVE, membership, TestDag } from '../../../tests/kit/random-dag.ts'
import type { StateMap } from '../events/event.ts'
import { stateSlotKey } from '../events/event.ts'
import type { EventId, UserId } from '../ids.ts'
import type { JsonObject } from '../json.ts'
import { getRoomVersion } from '../room-versions/room-versions.ts'
import { resolveConflicts, resolveState } from './resolve-state.ts'

const TOPIC = stateSlotKey('m.room.topic', '')
const POWER_LEVELS = stateSlotKey('m.room.power_levels', '')
const JOIN_RULES = stateSlotKey('m.room.join_rules', '')
const memberSlot = (userId: UserId): string => stateSlotKey('m.room.member', userId)

function newRoom(id: string): { dag: TestDag; start: EventId } {
  const roomVersion = getRoomVersion(id)
  if (roomVersion === undefined) throw new Error(`Room version ${id} is not known`)
  const dag: TestDag = new TestDag(roomVersion, (stateSets) => resolveIn(dag, stateSets))
  return { dag, start: dag.start() }
}

function resolveIn(dag: TestDag, stateSets: readonly StateMap<EventId>[], rejected?: EventId): StateMap<EventId> {
  const isRejected = (eventId: EventId): boolean => eventId === rejected
  const resolution = resolveState({
    roomVersion: dag.roomVersion,
    stateSets,
    isRejected,
    events: (eventId) => dag.events.get(eventId),
  })
  if ('missing' in resolution) throw new Error(`Missing: ${resolution.missing.join()}`)
  return resolution.resolved
}

function topic(sender: UserId, originServerTs: number): EventDraft {
  return { type: 'm.room.topic', sender, stateKey: '', content: { topic: sender }, originServerTs }
}

function powerLevels(dag: TestDag, sender: UserId, users: JsonObject, more: JsonObject = {}): EventDraft {
  const creator = dag.roomVersion.privilegedCreators ? {} : { [ALICE]: 100 }
  return { type: 'm.room.power_levels', sender, stateKey: '', content: { users: { ...creator, ...users }, ...more } }
}

function joinRule(sender: UserId, rule: string): EventDraft {
  return { type: 'm.room.join_rules', sender, stateKey: '', content: { join_rule: rule } }
}

function withSlots(state: StateMap<EventId>, slots: Record<string, EventId>): StateMap<EventId> {
  return new Map([...state, ...Object.entries(slots)])
}

describe.each(['1', '2', '6', '10', '11', '12'])('state resolution in room version %s', (id) => {
  it('a ban undoes what the banned user did meanwhile', () => {
    const { dag, start } = newRoom(id)
    const before = dag.append([start], topic(ALICE, 10))
    const ban = dag.append([before], membership(BOB, CAROL, 'ban'))
    const other = dag.append([before], topic(CAROL, 50))
    const state = dag.stateAfter([ban, other])
    expect(state.get(memberSlot(CAROL))).toBe(ban)
    expect(state.get(TOPIC)).toBe(before)
  })

  it('a demotion wins against what the demoted user did to the power levels meanwhile', () => {
    const { dag, start } = newRoom(id)
    const demotion = dag.append([start], powerLevels(dag, BOB, { [BOB]: 100 }))
    const change = dag.append([start], powerLevels(dag, CAROL, { [BOB]: 100, [CAROL]: 50, [DAVE]: 10 }))
    expect(dag.stateAfter([demotion, change]).get(POWER_LEVELS)).toBe(demotion)
  })

  it('a ban wins against a join on another branch', () => {
    const { dag, start } = newRoom(id)
    const ban = dag.append([start], membership(BOB, DAVE, 'ban'))
    const join = dag.append([start], membership(DAVE, DAVE, 'join'))
    expect(dag.stateAfter([join, ban]).get(memberSlot(DAVE))).toBe(ban)
  })

  it('takes the deeper topic in version 1, the later one since version 2', () => {
    const { dag, start } = newRoom(id)
    const later = dag.append([start], topic(BOB, 90))
    const between = dag.append([start], { type: 'm.room.message', sender: ALICE, content: {} })
    const deeper = dag.append([between], topic(ALICE, 80))
    expect(dag.stateAfter([later, deeper]).get(TOPIC)).toBe(id === '1' ? deeper : later)
  })
})

describe('state resolution', () => {
  it('asks for all events that it misses, and for none where there is no conflict', () => {
    const { dag, start } = newRoom('11')
    const left = dag.append([start], topic(ALICE, 1))
    const right = dag.append([start], topic(BOB, 2))
    const events = (): undefined => undefined
    const stateSets = dag.stateSets([left, right])
    const resolution = resolveState({ roomVersion: dag.roomVersion, stateSets, events })
    expect('missing' in resolution && resolution.missing).toEqual(expect.arrayContaining([left, right]))
    const [first] = stateSets
    if (first === undefined) throw new Error('There are two states')
    expect(resolveState({ roomVersion: dag.roomVersion, stateSets: [first, first], events })).toEqual({ resolved: first })
  })

  it('asks the agreed state only for slots that checks need', () => {
    const { dag, start } = newRoom('11')
    const left = dag.append([start], topic(ALICE, 1))
    const right = dag.append([start], topic(BOB, 2))
    const asked = new Set<string>()
    const agreed = dag.stateAfter([start])
    const resolution = resolveConflicts({
      roomVersion: dag.roomVersion,
      events: (eventId) => dag.events.get(eventId),
      conflicted: new Map([[TOPIC, new Set([left, right])]]),
      unconflicted: (slotKey) => {
        asked.add(slotKey)
        return agreed.get(slotKey)
      },
      authDifference: [left, right],
      conflictedSubgraph: [],
    })
    expect(resolution).toEqual({ resolved: new Map([[TOPIC, right]]) })
    expect(asked).toEqual(new Set([stateSlotKey('m.room.create', ''), POWER_LEVELS, memberSlot(ALICE), memberSlot(BOB), TOPIC]))
  })

  it('takes no authority from a rejected auth event', () => {
    const { dag, start } = newRoom('12')
    const left = dag.append([start], topic(ALICE, 1))
    const right = dag.append([start], topic(CAROL, 2))
    const stateSets = dag.stateSets([left, right])
    expect(resolveIn(dag, stateSets).get(TOPIC)).toBe(right)
    expect(resolveIn(dag, stateSets, dag.states.get(start)?.get(memberSlot(CAROL))).get(TOPIC)).toBe(left)
  })
})

/** Both resets come from states that no honest server holds by itself, but that a server can be given at a join. */
describe.each([
  ['11', false],
  ['12', true],
])('protection against state resets in room version %s', (id, isProtected) => {
  it('an undisputed leave of a sender does not throw out what the sender did before', () => {
    const { dag, start } = newRoom(id)
    const first = dag.append([start], joinRule(BOB, 'invite'))
    const second = dag.append([first], joinRule(BOB, 'public'))
    const leave = dag.append([second], membership(BOB, BOB, 'leave'))
    const after = dag.stateAfter([leave])
    const resolved = resolveIn(dag, [withSlots(after, { [JOIN_RULES]: first }), withSlots(after, { [JOIN_RULES]: second })])
    expect(resolved.get(JOIN_RULES)).toBe(isProtected ? second : undefined)
    expect(resolved.get(memberSlot(BOB))).toBe(leave)
  })

  it('power levels between two that are in conflict are replayed, though no state disputes them', () => {
    const { dag, start } = newRoom(id)
    const first = dag.append([start], powerLevels(dag, ALICE, { [BOB]: 100, [CAROL]: 50 }, { ban: 60 }))
    const second = dag.append([first], powerLevels(dag, BOB, { [BOB]: 100, [CAROL]: 100 }, { ban: 60 }))
    const third = dag.append([second], powerLevels(dag, CAROL, { [BOB]: 100, [CAROL]: 100 }, { ban: 70 }))
    const note = dag.append([third], { type: 'org.example.note', sender: CAROL, stateKey: '', content: {} })
    const after = dag.stateAfter([note])
    const resolved = resolveIn(dag, [withSlots(after, { [POWER_LEVELS]: first }), after])
    expect(resolved.get(POWER_LEVELS)).toBe(isProtected ? third : first)
  })
})
