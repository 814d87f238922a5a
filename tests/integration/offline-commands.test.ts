import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestServer } from '../kit/test-server.ts'

const run = promisify(execFile)
const program = (name: string): string => join(import.meta.dirname, '..', '..', 'bin', name)
let server: TestServer
let config: string

beforeAll(async () => {
  server = await TestServer.spawn()
  config = join(server.directory, 'homeserver.yaml')
})
afterAll(() => server[Symbol.asyncDispose]())

test('review_recent_signups shows who signed up, from where, and which rooms they are in (W-24)', async () => {
  const alice = await server.register('alice')
  await alice.createRoom({ preset: 'public_chat', name: 'Town square' })
  await alice.createRoom({ preset: 'private_chat' })
  const { stdout } = await run(program('review_recent_signups'), ['-c', config])
  expect(stdout).toMatch(
    /^# Created: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n# Email: None\n# IPs: [^\n]*\n# Number joined public rooms: 1 \(Town square\)\n# Number joined private rooms: 1\n#\n@alice:test\.example\n\n$/,
  )
  expect((await run(program('review_recent_signups'), ['-c', config, '-u', '-s', '1h'])).stdout).toBe('@alice:test.example\n')
  expect((await run(program('review_recent_signups'), ['-c', config, '-u', '-s', '0s'])).stdout).toBe('')
  await expect(run(program('review_recent_signups'), ['-c', config, '-s', 'soon'])).rejects.toMatchObject({ code: 64 })
})

test("update_synapse_database brings the database up to date under Synapse's flags (W-25)", async () => {
  const { stdout } = await run(program('update_synapse_database'), [
    '--database-config',
    config,
    '--run-background-updates',
    '-v',
  ])
  expect(stdout).toBe('The database is up to date.\n')
})
