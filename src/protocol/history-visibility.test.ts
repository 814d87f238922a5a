import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HistoryVisibility, Membership, VisibilityFacts } from './history-visibility.ts'
import { canSeeEvent, canSeeEvents, canServerSeeEvent, parseHistoryVisibility, parseMembership } from './history-visibility.ts'

const VISIBILITIES: HistoryVisibility[] = ['world_readable', 'shared', 'invited', 'joined']
const MEMBERSHIPS: Membership[] = ['join', 'invite', 'knock', 'leave', 'ban']

function see(visibilityBefore: HistoryVisibility, membershipBefore: Membership, more: Partial<VisibilityFacts> = {}): boolean {
  return canSeeEvent({ visibilityBefore, membershipBefore, hasJoinedAfter: false, ...more })
}

describe('history visibility', () => {
  it.each<[HistoryVisibility, Membership, boolean, boolean]>([
    ['world_readable', 'ban', false, true],
    ['shared', 'leave', false, false],
    ['shared', 'leave', true, true],
    ['shared', 'invite', false, false],
    ['invited', 'leave', true, false],
    ['invited', 'invite', false, true],
    ['invited', 'knock', true, false],
    ['joined', 'invite', true, false],
    ['joined', 'join', false, true],
  ])('%s, seen by someone with membership %s (joined later: %s): %s', (visibility, membership, hasJoinedAfter, expected) => {
    expect(see(visibility, membership, { hasJoinedAfter })).toBe(expected)
  })

  it('a change of visibility is seen if either side allows it', () => {
    expect(see('joined', 'leave', { visibilityAfter: 'world_readable' })).toBe(true)
    expect(see('world_readable', 'leave', { visibilityAfter: 'joined' })).toBe(true)
    expect(see('joined', 'leave', { visibilityAfter: 'invited' })).toBe(false)
  })

  it('an own membership event is seen if either side allows it', () => {
    expect(see('joined', 'leave', { membershipAfter: 'join' })).toBe(true)
    expect(see('joined', 'join', { membershipAfter: 'ban' })).toBe(true)
    expect(see('joined', 'leave', { membershipAfter: 'ban' })).toBe(false)
    expect(see('joined', 'invite', { membershipAfter: 'leave' })).toBe(true)
  })

  it('content that is not understood means shared and leave', () => {
    expect(parseHistoryVisibility({ history_visibility: 'nobody' })).toBe('shared')
    expect(parseHistoryVisibility(undefined)).toBe('shared')
    expect(parseMembership({ membership: 'dance' })).toBe('leave')
  })

  it('who left sees the shared history up to the leave and nothing after', () => {
    const memberships = [
      { fromPos: 10, membership: 'join' as const },
      { fromPos: 20, membership: 'leave' as const },
    ]
    const page = [{ position: 5 }, { position: 15 }, { position: 20, changes: 'own_membership' as const }, { position: 21 }]
    expect(canSeeEvents(page, memberships, [])).toEqual([true, true, true, false])
  })

  it('who was invited sees history from the invite on, where that is the rule', () => {
    const memberships = [
      { fromPos: 10, membership: 'invite' as const },
      { fromPos: 20, membership: 'join' as const },
    ]
    const visibilities = [{ fromPos: 1, visibility: 'invited' as const }]
    const page = [{ position: 9 }, { position: 10, changes: 'own_membership' as const }, { position: 11 }, { position: 30 }]
    expect(canSeeEvents(page, memberships, visibilities)).toEqual([false, true, true, true])
  })

  it('a page gets the same answers as each of its events from a replayed timeline', () => {
    const step = fc.oneof(
      fc.record({ changes: fc.constant('own_membership' as const), to: fc.constantFrom(...MEMBERSHIPS) }),
      fc.record({ changes: fc.constant('visibility' as const), to: fc.constantFrom(...VISIBILITIES) }),
      fc.constant({ changes: undefined }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        let membership: Membership = 'leave'
        let visibility: HistoryVisibility = 'shared'
        const memberships: { fromPos: number; membership: Membership }[] = []
        const visibilities: { fromPos: number; visibility: HistoryVisibility }[] = []
        const replayed = steps.map((current, position) => {
          const before = { membership, visibility }
          if (current.changes === 'own_membership') memberships.push({ fromPos: position, membership: (membership = current.to) })
          if (current.changes === 'visibility') visibilities.push({ fromPos: position, visibility: (visibility = current.to) })
          return { before, after: { membership, visibility }, changes: current.changes }
        })
        const expected = replayed.map(({ before, after, changes }, position) =>
          canSeeEvent({
            membershipBefore: before.membership,
            visibilityBefore: before.visibility,
            membershipAfter: changes === 'own_membership' ? after.membership : undefined,
            visibilityAfter: changes === 'visibility' ? after.visibility : undefined,
            hasJoinedAfter: replayed
              .slice(position)
              .some((one) => one.after.membership === 'join' || one.before.membership === 'join'),
          }),
        )
        const page = steps.map(({ changes }, position) => ({ position, changes }))
        expect(canSeeEvents(page, memberships, visibilities)).toEqual(expected)
      }),
      { numRuns: 1000 },
    )
  })

  it('a server sees restricted history only where one of its users was there', () => {
    expect(canServerSeeEvent({ visibility: 'shared', memberships: [] })).toBe(true)
    expect(canServerSeeEvent({ visibility: 'joined', memberships: ['invite', 'leave'] })).toBe(false)
    expect(canServerSeeEvent({ visibility: 'invited', memberships: ['invite'] })).toBe(true)
    expect(canServerSeeEvent({ visibility: 'joined', memberships: ['leave', 'join'] })).toBe(true)
  })
})
