import { expect, test } from 'vitest'
import { DEFAULT_ROOM_VERSION, getRoomVersion, ROOM_VERSIONS } from './room-versions.ts'
import { ROOM_VERSION_IDS, type RoomVersion } from './room-version.ts'

test('every room version is known under its id, and nothing else is', () => {
  expect(ROOM_VERSIONS.map((version) => version.id)).toEqual([...ROOM_VERSION_IDS])
  for (const id of ROOM_VERSION_IDS) expect(getRoomVersion(id)?.id).toBe(id)
  for (const id of ['0', '13', '', '__proto__', 'org.matrix.msc2176']) expect(getRoomVersion(id)).toBeUndefined()
  expect(getRoomVersion(DEFAULT_ROOM_VERSION)).toBeDefined()
})

// Spec: rooms/ § Feature matrix and the "changed in" marks of rooms/v2 to rooms/v12.
test.each<[keyof RoomVersion, number]>([
  ['enforcesSigningKeyValidity', 5],
  ['strictCanonicalJson', 6],
  ['limitNotificationsPowerLevels', 6],
  ['hasKnock', 7],
  ['hasRestrictedJoin', 8],
  ['redactionKeepsJoinAuthorised', 9],
  ['hasKnockRestricted', 10],
  ['integerPowerLevels', 10],
  ['updatedRedactionRules', 11],
  ['implicitRoomCreator', 11],
  ['hashRoomId', 12],
  ['privilegedCreators', 12],
])('%s is on since version %i', (name, since) => {
  for (const version of ROOM_VERSIONS) expect([version.id, version[name]]).toEqual([version.id, Number(version.id) >= since])
})

test.each<[keyof RoomVersion, number]>([
  ['specialAliasesAuth', 5],
  ['redactionAuthRule', 2],
])('%s is on until version %i', (name, until) => {
  for (const version of ROOM_VERSIONS) expect([version.id, version[name]]).toEqual([version.id, Number(version.id) <= until])
})

test('event ids and state resolution change with their versions', () => {
  expect(ROOM_VERSIONS.map((version) => version.eventIdFormat)).toEqual([1, 1, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4])
  expect(ROOM_VERSIONS.map((version) => version.stateResolution)).toEqual(['v1', ...Array<string>(10).fill('v2'), 'v2.1'])
})
