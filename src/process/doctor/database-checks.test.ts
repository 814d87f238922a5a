import { expect, test } from 'vitest'
import type { DatabaseInspection } from '../../storage/inspection.ts'
import { checkDatabase } from './database-checks.ts'
import { Places } from './places.ts'

const SOUND: DatabaseInspection = {
  versionNumber: 170_002,
  encoding: 'UTF8',
  collation: 'C',
  ctype: 'C',
  fsync: true,
  synchronousCommit: 'on',
  fullPageWrites: true,
  connectionsMax: 100,
  connectionsReserved: 3,
  isStandby: false,
  cachingSequences: [],
  clockOffsetMs: 3,
  commitMs: 2,
  doLocksExclude: true,
  doSessionsLast: true,
}

function check(facts: Partial<DatabaseInspection>): string[] {
  const under = { processes: [], shared: ['shared.yaml'], workersDirectory: undefined, workerNames: [], places: new Places() }
  return checkDatabase({ ...SOUND, ...facts }, under).map(({ severity, text }) => `${severity} ${text}`)
}

test('a sound database has no findings', () => {
  expect(check({})).toEqual([])
  expect(check({ synchronousCommit: 'remote_apply' })).toEqual([])
})

test.each<[Partial<DatabaseInspection>, RegExp]>([
  [{ versionNumber: 130_005 }, /^error .*PostgreSQL 13 is too old; install 14/],
  [{ encoding: 'SQL_ASCII' }, /^error .*the encoding SQL_ASCII; make it anew: CREATE DATABASE/],
  [{ collation: 'en_US.UTF-8', ctype: 'en_US.UTF-8' }, /^error .*the collation en_US\.UTF-8/],
  [{ isStandby: true }, /^error .*standby.*name the primary/],
  [{ fsync: false }, /^error .*`fsync` is off/],
  [{ fullPageWrites: false }, /^error .*`full_page_writes` is off/],
  [{ synchronousCommit: 'off' }, /^error .*`synchronous_commit` is off/],
  [{ commitMs: 48.7 }, /^warning .*a commit takes 49 ms/],
  [{ doLocksExclude: false }, /^error .*does not keep others out/],
  [{ doSessionsLast: false }, /^warning .*pooler/],
  [{ cachingSequences: ['stream_1_pos'] }, /^error .*ALTER SEQUENCE stream_1_pos CACHE 1/],
  [{ clockOffsetMs: -2500 }, /^warning .*differ by 2\.5 s/],
  [{ clockOffsetMs: 60_000 }, /^error .*differ by 60\.0 s/],
])('%j is found', (facts, finding) => {
  expect(check(facts)).toEqual([expect.stringMatching(finding)])
})
