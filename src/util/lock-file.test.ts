import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { acquireFileLock, isProcessAlive, LockHeldError } from './lock-file.ts'

let directory: string
let path: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'lock-'))
  path = join(directory, 'lock')
})
afterEach(() => rmSync(directory, { recursive: true }))

test('a lock that a living process holds is refused, and free again after its release', () => {
  const lock = acquireFileLock(path)
  expect(() => acquireFileLock(path)).toThrow(LockHeldError)
  lock.release()
  acquireFileLock(path).release()
  expect(readdirSync(directory)).toEqual([])
})

test('the lock of a dead process is taken over', () => {
  const { pid } = spawnSync('true')
  writeFileSync(path, `${pid} 123\n`)
  acquireFileLock(path).release()
})

test.runIf(process.platform === 'linux')('the lock of a dead process whose id somebody else has now is taken over', () => {
  writeFileSync(path, `${process.pid} 1\n`)
  acquireFileLock(path).release()
})

test('a process is alive until it has ended', () => {
  expect(isProcessAlive(process.pid)).toBe(true)
  expect(isProcessAlive(spawnSync('true').pid)).toBe(false)
})
