import { describe, expect, test } from 'vitest'
import type { EventId, RoomId } from './ids.ts'
import type { Pdu } from './events/event.ts'
import { eventFromStoredPdu } from './events/parse-event.ts'
import type { JsonObject, JsonValue } from './json.ts'
import { redactContent, redactEvent, redactMatrixEvent } from './redaction.ts'
import { getRoomVersion, ROOM_VERSIONS } from './room-versions/room-versions.ts'
import type { RoomVersion } from './room-versions/room-version.ts'

const IDS = ROOM_VERSIONS.map((version) => version.id)
const between = (first: number, last: number) => IDS.filter((id) => Number(id) >= first && Number(id) <= last)
const version = (id: string) => getRoomVersion(id) as RoomVersion

/** Content with every property that any version keeps in any event, and one that none keeps. */
const FULL: JsonObject = {
  membership: 'join',
  join_authorised_via_users_server: '@a:b',
  third_party_invite: { signed: { mxid: '@a:b' }, display_name: 'a' },
  creator: '@a:b',
  room_version: '1',
  join_rule: 'restricted',
  allow: [],
  ban: 1,
  events: {},
  events_default: 2,
  invite: 3,
  kick: 4,
  notifications: {},
  redact: 5,
  state_default: 6,
  users: {},
  users_default: 7,
  history_visibility: 'shared',
  aliases: ['#a:b'],
  redacts: '$x',
  body: 'text',
}
const LEVELS = ['ban', 'events', 'events_default', 'kick', 'redact', 'state_default', 'users', 'users_default']

const TABLE: [type: string, versions: readonly string[], kept: readonly string[]][] = [
  ['m.room.member', between(1, 8), ['membership']],
  ['m.room.member', between(9, 10), ['membership', 'join_authorised_via_users_server']],
  ['m.room.member', between(11, 12), ['membership', 'join_authorised_via_users_server', 'third_party_invite']],
  ['m.room.create', between(1, 10), ['creator']],
  ['m.room.create', between(11, 12), Object.keys(FULL)],
  ['m.room.join_rules', between(1, 7), ['join_rule']],
  ['m.room.join_rules', between(8, 12), ['join_rule', 'allow']],
  ['m.room.power_levels', between(1, 10), LEVELS],
  ['m.room.power_levels', between(11, 12), [...LEVELS, 'invite']],
  ['m.room.aliases', between(1, 5), ['aliases']],
  ['m.room.aliases', between(6, 12), []],
  ['m.room.history_visibility', IDS, ['history_visibility']],
  ['m.room.redaction', between(1, 10), []],
  ['m.room.redaction', between(11, 12), ['redacts']],
  ['m.room.message', IDS, []],
  ['m.room.name', IDS, []],
  ['m.room.third_party_invite', IDS, []],
  ['m.room.server_acl', IDS, []],
  ['constructor', IDS, []],
]
for (const [type, versions, kept] of TABLE) {
  test.each(versions)(`v%s: ${type} keeps ${kept.join(', ') || 'nothing'}`, (id) => {
    const redacted = redactContent(version(id), type, FULL)
    expect(Object.keys(redacted).sort()).toEqual([...kept].sort())
    for (const key of kept) {
      const isStripped = key === 'third_party_invite' && type === 'm.room.member'
      expect(redacted[key]).toEqual(isStripped ? { signed: { mxid: '@a:b' } } : FULL[key])
    }
  })
}

const PDU = {
  type: 'm.room.message',
  sender: '@a:b',
  room_id: '!r:b',
  state_key: '',
  content: FULL,
  depth: 1,
  origin_server_ts: 2,
  prev_events: [],
  auth_events: [],
  hashes: { sha256: 'h' },
  signatures: { b: { 'ed25519:1': 's' } },
  event_id: '$e:b',
  redacts: '$x:b',
  unsigned: { age: 1 },
  origin: 'b',
  prev_state: [],
  membership: 'join',
  other: 1,
} satisfies Pdu & Record<string, unknown>

test.each(IDS)('v%s: the top level keeps what the version says, and the argument stays as it was', (id) => {
  const before = structuredClone(PDU)
  const dropped = Number(id) >= 11 ? ['origin', 'prev_state', 'membership'] : []
  const expected = Object.fromEntries(
    Object.entries(PDU).filter(([key]) => !['redacts', 'unsigned', 'other', ...dropped].includes(key)),
  )
  expect(redactEvent(version(id), PDU)).toEqual({ ...expected, content: {} })
  expect(PDU).toEqual(before)
})

describe('odd content', () => {
  test.each<[JsonValue]>([[null], [5], ['x'], [[]]])('%j is redacted to nothing', (content) => {
    for (const id of IDS) expect(redactContent(version(id), 'm.room.create', content)).toEqual({})
  })

  test('a third_party_invite that is no object goes, one without signed stays empty', () => {
    const member = (invite: JsonValue) => redactContent(version('11'), 'm.room.member', { third_party_invite: invite })
    expect(member('x')).toEqual({})
    expect(member({ display_name: 'a' })).toEqual({ third_party_invite: {} })
  })

  test('properties of Object.prototype are not taken for content', () => {
    expect(Object.keys(redactContent(version('11'), 'm.room.power_levels', {}))).toEqual([])
  })
})

test('redacting twice is redacting once', () => {
  for (const [type] of TABLE) {
    for (const id of IDS) {
      const once = redactEvent(version(id), { ...PDU, type })
      expect(redactEvent(version(id), once)).toEqual(once)
    }
  }
})

test('the parsed form of a redacted redaction forgets its target up to version 10 and keeps it after', () => {
  const redact = (id: string) => {
    const pdu: Pdu = { ...PDU, type: 'm.room.redaction' }
    return redactMatrixEvent(version(id), eventFromStoredPdu(pdu, '$e' as EventId, '!r:b' as RoomId, version(id)))
  }
  expect(redact('10')).toMatchObject({ redacts: undefined, content: {}, eventId: '$e' })
  expect(redact('11')).toMatchObject({ redacts: '$x', content: { redacts: '$x' } })
})
