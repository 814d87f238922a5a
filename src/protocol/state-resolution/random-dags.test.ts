import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { NaiveResolver } from '../../../tests/kit/naive-state-resolution.ts'
import { growRandomly, TestDag } from '../../../tests/kit/random-dag.ts'
import type { StateMap } from '../events/event.ts'
import type { EventId } from '../ids.ts'
import type { RoomVersion } from '../room-versions/room-version.ts'
import { getRoomVersion } from '../room-versions/room-versions.ts'
import { resolveState } from './resolve-state.ts'

const RUN_COUNT = 60

function versionOf(id: string): RoomVersion {
  const version = getRoomVersion(id)
  if (version === undefined) throw new Error(`Room version ${id} is not known`)
  return version
}

function resolveIn(dag: TestDag, stateSets: readonly StateMap<EventId>[]): Map<string, EventId> {
  const resolution = resolveState({ roomVersion: dag.roomVersion, stateSets, events: (eventId) => dag.events.get(eventId) })
  if ('missing' in resolution) throw new Error(`Missing: ${resolution.missing.join()}`)
  return resolution.resolved
}

function sorted(state: StateMap<EventId>): [string, EventId][] {
  return [...state].toSorted(([a], [b]) => (a < b ? -1 : 1))
}

/** Grows a random graph whose every merge is resolved both ways, and gives some of its states. */
function growChecked(version: RoomVersion, decisions: readonly number[]): { dag: TestDag; stateSets: StateMap<EventId>[] } {
  const dag: TestDag = new TestDag(version, (stateSets) => {
    const resolved = resolveIn(dag, stateSets)
    expect(sorted(resolved)).toEqual(sorted(new NaiveResolver(version, dag.events).resolve(stateSets)))
    return resolved
  })
  growRandomly(dag, dag.start(), decisions)
  return { dag, stateSets: dag.stateSets(dag.order.slice(6).slice(-4)) }
}

const decisions = fc.array(fc.nat(1_000), { minLength: 60, maxLength: 300, size: 'max' })

describe.each(['1', '2', '6', '10', '11', '12'])('state resolution in room version %s, on random forked graphs', (id) => {
  const version = versionOf(id)

  it('gives what the specification, followed to the letter, gives', () => {
    fc.assert(
      fc.property(decisions, (numbers) => {
        const { dag, stateSets } = growChecked(version, numbers)
        dag.stateAfter(dag.order.slice(-3))
        if (stateSets.length > 0) {
          expect(sorted(resolveIn(dag, stateSets))).toEqual(sorted(new NaiveResolver(version, dag.events).resolve(stateSets)))
        }
      }),
      { numRuns: RUN_COUNT },
    )
  })

  it('does not depend on the order of the states, and a state given twice changes nothing', () => {
    fc.assert(
      fc.property(decisions, fc.infiniteStream(fc.nat()), (numbers, keys) => {
        const { dag, stateSets } = growChecked(version, numbers)
        if (stateSets.length === 0) return
        const shuffled = stateSets
          .map((state) => ({ state: new Map([...state].toReversed()), key: keys.next().value ?? 0 }))
          .toSorted((a, b) => a.key - b.key)
          .map(({ state }) => state)
        const resolved = sorted(resolveIn(dag, stateSets))
        expect(sorted(resolveIn(dag, shuffled))).toEqual(resolved)
        expect(sorted(resolveIn(dag, [...stateSets, ...stateSets]))).toEqual(resolved)
      }),
      { numRuns: RUN_COUNT },
    )
  })

  it('leaves a state alone that is resolved with itself', () => {
    fc.assert(
      fc.property(decisions, (numbers) => {
        const { dag, stateSets } = growChecked(version, numbers)
        if (stateSets.length === 0) return
        const resolved = resolveIn(dag, stateSets)
        expect(sorted(resolveIn(dag, [resolved, resolved]))).toEqual(sorted(resolved))
      }),
      { numRuns: RUN_COUNT },
    )
  })

  it('finds the same when it has to ask for each event', () => {
    fc.assert(
      fc.property(decisions, (numbers) => {
        const { dag, stateSets } = growChecked(version, numbers)
        if (stateSets.length === 0) return
        const loaded = new Set<EventId>()
        for (let round = 0; round <= dag.order.length; round++) {
          const events = (eventId: EventId): ReturnType<typeof dag.events.get> =>
            loaded.has(eventId) ? dag.events.get(eventId) : undefined
          const resolution = resolveState({ roomVersion: version, stateSets, events })
          if ('resolved' in resolution) {
            expect(sorted(resolution.resolved)).toEqual(sorted(resolveIn(dag, stateSets)))
            return
          }
          for (const eventId of resolution.missing) loaded.add(eventId)
        }
        throw new Error('The resolution asks without end')
      }),
      { numRuns: RUN_COUNT },
    )
  })
})
