import { describe, expect, it } from 'vitest'
import { check } from './checker.ts'
import type { Rule } from './checker.ts'
import type { FinalRead, ProcessRead } from './final-read.ts'
import type { Entry } from './history.ts'

const ROOM = '!room'
const READER = '@reader'

/** A history without faults: two messages, the second one repeated, and one of everything else. */
function goodHistory(): Entry[] {
  const at = (t: number, key: string) => ({ t, end: t + 5, process: 'proxy', key, result: 'ok' }) as const
  const link = { receipts: [], whispers: [], events: {} }
  return [
    { op: 'start', ...at(0, 'device'), next: 's0', last: { [ROOM]: '$create' } },
    { op: 'send', ...at(10, 'one'), room: ROOM, body: 'message one', eventId: '$one' },
    { op: 'send', ...at(20, 'two'), result: 'unknown', room: ROOM, body: 'message two' },
    { op: 'send', ...at(30, 'two'), room: ROOM, body: 'message two', eventId: '$two' },
    { op: 'sync', ...at(40, 'device'), ...link, since: 's0', next: 's1', events: { [ROOM]: ['$one'] }, whispers: ['w1'] },
    { op: 'whisper', ...at(15, 'w1'), device: 'device' },
    { op: 'upload', ...at(16, 'keeper'), keyIds: ['k1', 'k2'] },
    { op: 'claim', ...at(17, 'keeper'), keyId: 'k1' },
    { op: 'receipt', ...at(31, `${READER} ${ROOM}`), eventId: '$one' },
    { op: 'receipt', ...at(32, `${READER} ${ROOM}`), eventId: '$two' },
    { op: 'account_data', ...at(33, READER), value: 1 },
    { op: 'account_data', ...at(35, READER), value: 2 },
    { op: 'member', ...at(36, `${ROOM} @visitor`), membership: 'join' },
    { op: 'member', ...at(37, `${ROOM} @visitor`), membership: 'leave' },
    { op: 'logout', ...at(38, 'token') },
    { op: 'use', ...at(6000, 'token'), result: 'fail' },
    {
      op: 'sync',
      ...at(50, 'device'),
      ...link,
      since: 's1',
      next: 's2',
      events: { [ROOM]: ['$two'] },
      receipts: [{ room: ROOM, user: READER, eventId: '$two' }],
      accountData: 2,
    },
  ]
}

function goodRead(name: string): ProcessRead {
  const users = { [ROOM]: [READER, '@writer'] }
  return {
    name,
    rooms: {
      [ROOM]: [{ eventId: '$create' }, { eventId: '$one', body: 'message one' }, { eventId: '$two', body: 'message two' }],
    },
    members: { members: users, state: users, joined_members: users, sync: users },
    receipts: { [`${READER} ${ROOM}`]: '$two' },
    accountData: 2,
    unread: { [ROOM]: 0 },
    living: [],
    resumed: [{ device: 'device', since: 's1', events: { [ROOM]: ['$two'] } }],
  }
}

const goodFinal: FinalRead = [goodRead('main'), goodRead('worker')]

/** The history with entries of one kind changed. */
function withEntries<Op extends Entry['op']>(
  op: Op,
  change: (entry: Extract<Entry, { op: Op }>, index: number) => Entry,
): Entry[] {
  let index = 0
  return goodHistory().map((entry) => (entry.op === op ? change(entry as Extract<Entry, { op: Op }>, index++) : entry))
}

/** The final read with something else in the second process. */
function withRead(change: Partial<ProcessRead>): FinalRead {
  return [goodRead('main'), { ...goodRead('worker'), ...change }]
}

function withMessages(...eventIds: readonly string[]): FinalRead {
  const known = goodRead('worker').rooms[ROOM] ?? []
  return withRead({ rooms: { [ROOM]: eventIds.map((id) => known.find(({ eventId }) => eventId === id) ?? { eventId: id }) } })
}

const CASES: readonly { readonly rule: Rule; readonly what: string; readonly history?: Entry[]; readonly final?: FinalRead }[] = [
  { rule: 'C1', what: 'an acknowledged message that one process lacks', final: withMessages('$create', '$one') },
  {
    rule: 'C2',
    what: 'a transaction answered with two events',
    history: withEntries('send', (entry) => (entry.key === 'two' ? { ...entry, eventId: `$${entry.t}` } : entry)),
  },
  { rule: 'C2', what: 'a message that is stored twice', final: withMessages('$create', '$one', '$one', '$two') },
  { rule: 'C3', what: 'two processes with different orders', final: withMessages('$create', '$two', '$one') },
  {
    rule: 'C3',
    what: 'a device that saw a newer event first',
    history: withEntries('sync', (entry, index) => ({ ...entry, events: { [ROOM]: [index === 0 ? '$two' : '$one'] } })),
  },
  {
    rule: 'C4',
    what: 'an event that a chain of tokens leaves out',
    history: withEntries('sync', (entry, index) => (index === 0 ? { ...entry, events: {} } : entry)),
  },
  {
    rule: 'C4',
    what: 'an event that a chain of tokens brings twice',
    history: withEntries('sync', (entry, index) => (index === 1 ? { ...entry, events: { [ROOM]: ['$one', '$two'] } } : entry)),
  },
  {
    rule: 'C5',
    what: 'a message to a device that is lost',
    history: withEntries('sync', (entry) => ({ ...entry, whispers: [] })),
  },
  {
    rule: 'C5',
    what: 'a message to a device that comes twice',
    history: withEntries('sync', (entry) => ({ ...entry, whispers: ['w1'] })),
  },
  {
    rule: 'C6',
    what: 'a one-time key that is given out twice',
    history: [...goodHistory(), ...goodHistory().filter(({ op }) => op === 'claim')],
  },
  {
    rule: 'C7',
    what: 'an endpoint of one process with another member',
    final: withRead({ members: { ...goodRead('worker').members, state: { [ROOM]: [READER] } } }),
  },
  {
    rule: 'C7',
    what: 'a leave that was answered and is not there',
    history: withEntries('member', (entry) => ({ ...entry, key: `${ROOM} @writer` })),
  },
  {
    rule: 'C8',
    what: 'a receipt that goes back',
    history: withEntries('sync', (entry, index) => ({
      ...entry,
      receipts: [{ room: ROOM, user: READER, eventId: index === 0 ? '$two' : '$one' }],
    })),
  },
  {
    rule: 'C8',
    what: 'an answered receipt that one process lacks',
    final: withRead({ receipts: { [`${READER} ${ROOM}`]: '$one' } }),
  },
  { rule: 'C8', what: 'an unread count that does not reach zero', final: withRead({ unread: { [ROOM]: 1 } }) },
  { rule: 'C9', what: 'account data that are not the last ones', final: withRead({ accountData: 1 }) },
  {
    rule: 'C9',
    what: 'account data that go back before the eyes of a device',
    history: withEntries('sync', (entry, index) => ({ ...entry, accountData: index === 0 ? 2 : 1 })),
  },
  {
    rule: 'C12',
    what: 'an old token that leaves something out',
    final: withRead({ resumed: [{ device: 'device', since: 's1', events: {} }] }),
  },
  {
    rule: 'C12',
    what: 'an old token that repeats what it covers',
    final: withRead({ resumed: [{ device: 'device', since: 's1', events: { [ROOM]: ['$one', '$two'] } }] }),
  },
  {
    rule: 'C13',
    what: 'an ended token that is taken for long',
    history: withEntries('use', (entry) => ({ ...entry, result: 'ok' })),
  },
  { rule: 'C13', what: 'an ended token that is taken at rest', final: withRead({ living: ['token'] }) },
]

describe('the checker of fault runs', () => {
  it('finds nothing wrong with a good history', () => {
    expect(check(goodHistory(), goodFinal)).toEqual([])
  })

  it.each(CASES)('$rule reports $what', ({ rule, history, final }) => {
    const rules = check(history ?? goodHistory(), final ?? goodFinal).map((violation) => violation.rule)
    expect(rules).toContain(rule)
  })

  it('takes a send without an answer for neither lost nor doubled', () => {
    const unanswered = goodHistory().filter((entry) => !(entry.op === 'send' && entry.key === 'two' && entry.result === 'ok'))
    expect(check(unanswered, goodFinal)).toEqual([])
  })
})
