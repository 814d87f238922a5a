import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../json.ts'
import { compileEventFields } from './event-fields.ts'
import { EventFilter } from './event-filter.ts'
import type { Filter } from './filter.ts'
import { compileFilter } from './filter.ts'
import { parseFilter, parseRoomEventFilter } from './parse-filter.ts'

const compile = (json: unknown): Filter => compileFilter(parseFilter(json), { limitMax: 100 })
const eventFilter = (json: JsonObject): EventFilter => new EventFilter(parseRoomEventFilter(json), { limitMax: 100 })

const MESSAGE = { type: 'm.room.message', sender: '@a:x.org', roomId: '!r:x.org', content: { body: 'hello' } }

describe('filter', () => {
  it.each([
    [{ presence: 'no' }],
    [{ room: { timeline: 'no' } }],
    [{ room: { state: [] } }],
    [{ room: { timeline: { rooms: 'no' } } }],
    [{ room: { timeline: { types: [1] } } }],
    [{ room: { timeline: { rooms: ['not_a_room_id'] } } }],
    [{ room: { timeline: { senders: ['not_a_sender_id'] } } }],
    [{ room: { timeline: { limit: '3' } } }],
    [{ room: { timeline: { limit: -3 } } }],
    [{ room: { include_leave: 1 } }],
    [{ event_format: 'other' }],
    [{ event_fields: ['a', 2] }],
    ['text'],
    [null],
  ])('%j is refused', (json) => {
    expect(() => parseFilter(json)).toThrow(expect.objectContaining({ errcode: 'M_BAD_JSON', status: 400 }))
  })

  it('keys that are not known are kept and mean nothing', () => {
    const json = { 'org.example.new': [1], room: { timeline: { 'org.example.new': {} } } }
    expect(parseFilter(json)).toEqual(json)
  })

  it('an empty filter keeps everything, ten events, without left rooms', () => {
    const filter = compile({})
    expect(filter.room.timeline).toMatchObject({ limit: 10, matchesEverything: true, lazyLoadMembers: false })
    expect(filter.room).toMatchObject({ includeLeave: false, matchesNoRoom: false })
    expect(filter.eventFormat).toBe('client')
    expect(filter.projectFields).toBeUndefined()
  })

  it('reads flags and cuts the limit', () => {
    const filter = compile({
      event_format: 'federation',
      room: {
        include_leave: true,
        not_rooms: ['!b:x.org'],
        state: { lazy_load_members: true, include_redundant_members: true },
        timeline: { limit: 5000, unread_thread_notifications: true },
      },
    })
    expect(filter.room.timeline).toMatchObject({ limit: 100, unreadThreadNotifications: true })
    expect(filter.room.state).toMatchObject({ lazyLoadMembers: true, includeRedundantMembers: true })
    expect(filter.room.includeLeave).toBe(true)
    expect(filter.room.matchesRoom('!b:x.org')).toBe(false)
    expect(filter.room.matchesRoom('!a:x.org')).toBe(true)
    expect(filter.eventFormat).toBe('federation')
  })

  it.each<[JsonObject, boolean]>([
    [{ types: ['m.room.message'] }, true],
    [{ types: ['m.room.*'] }, true],
    [{ types: ['M.ROOM.*'] }, false],
    [{ types: ['m?room?message'] }, false],
    [{ types: [] }, false],
    [{ not_types: ['m.room.message'] }, false],
    [{ not_types: ['*message'], types: ['m.room.message'] }, false],
    [{ senders: ['@a:x.org'] }, true],
    [{ senders: ['@b:x.org'] }, false],
    [{ not_senders: ['@a:x.org'], senders: ['@a:x.org'] }, false],
    [{ rooms: ['!r:x.org'] }, true],
    [{ not_rooms: ['!r:x.org'] }, false],
    [{ contains_url: true }, false],
    [{ contains_url: false }, true],
    [{ 'org.matrix.msc3874.rel_types': ['m.thread'] }, false],
    [{ 'org.matrix.msc3874.not_rel_types': ['m.thread'] }, true],
    [{ related_by_rel_types: ['m.thread'] }, false],
  ])('%j keeps a message: %s', (json, expected) => {
    expect(eventFilter(json).matches(MESSAGE)).toBe(expected)
  })

  it('asks one and the same relation for sender and type', () => {
    const filter = eventFilter({ related_by_senders: ['@a:x.org'], related_by_rel_types: ['m.thread'] })
    const related = (sender: string, relType: string): boolean => filter.matches({ ...MESSAGE, relatedBy: [{ sender, relType }] })
    expect(filter.needsRelations).toBe(true)
    expect(related('@a:x.org', 'm.thread')).toBe(true)
    expect(related('@a:x.org', 'm.replace')).toBe(false)
    expect(related('@b:x.org', 'm.thread')).toBe(false)
  })

  it('knows that it keeps nothing', () => {
    expect(eventFilter({ types: [] }).matchesNothing).toBe(true)
    expect(eventFilter({ not_types: ['*'] }).matchesNothing).toBe(true)
    expect(eventFilter({ rooms: [] }).matchesNothing).toBe(true)
    expect(eventFilter({ types: ['a'] }).matchesNothing).toBe(false)
  })

  it('keeps account data without sender unless senders are asked for', () => {
    expect(eventFilter({ not_senders: ['@a:x.org'] }).matches({ type: 'm.tag' })).toBe(true)
    expect(eventFilter({ senders: ['@a:x.org'] }).matches({ type: 'm.tag' })).toBe(false)
  })

  it('cuts events down to the fields asked for', () => {
    const project = compileEventFields([
      'type',
      'content.body',
      'content.m\\.relates_to',
      'content.m\\.relates_to.rel_type',
      'a.b',
    ])
    const event = {
      type: 't',
      sender: 's',
      a: 'x',
      content: { body: 'b', url: 'u', 'm.relates_to': { rel_type: 'r', key: 'k' } },
    }
    expect(project?.(event)).toEqual({ type: 't', content: { body: 'b', 'm.relates_to': { rel_type: 'r', key: 'k' } } })
  })
})
