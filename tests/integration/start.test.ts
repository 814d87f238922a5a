import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

const PROGRAM = join(import.meta.dirname, '..', '..', 'bin', 'ganglion')
let directory: string
let running: Started[]
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'start-'))
  running = []
})
afterEach(async () => {
  for (const started of running) await started.stop('SIGTERM')
  rmSync(directory, { recursive: true, force: true })
})

interface Started {
  readonly child: ChildProcess
  readonly url: string
  readonly output: () => string
  stop(signal: NodeJS.Signals): Promise<number | null>
}

async function start(...args: string[]): Promise<Started> {
  const child = spawn(PROGRAM, ['start', '--port', '0', '--data-dir', join(directory, 'data'), ...args])
  let output = ''
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const exited = once(child, 'exit') as Promise<[number | null]>
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      const [, found] = /^listening on (http:\S+)\n/m.exec(output) ?? []
      if (found !== undefined) resolve(found)
    })
    void exited.then(([status]) => reject(new Error(`The server ended with ${status}: ${errors}`)))
  })
  const stop = async (signal: NodeJS.Signals): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    return (await exited)[0]
  }
  const started: Started = { child, url, output: () => output, stop }
  running.push(started)
  return started
}

async function register(url: string, username: string): Promise<{ status: number; token: string }> {
  const body = JSON.stringify({ username, password: 'wonderland', auth: { type: 'm.login.dummy' } })
  const response = await fetch(`${url}/_matrix/client/v3/register`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
  })
  const answer = (await response.json()) as { access_token?: string }
  return { status: response.status, token: answer.access_token ?? '' }
}

test('the first start makes everything, the second one keeps it, and both end with status 0', async () => {
  const first = await start('--open-registration', '--server-name', 'first.example')
  const { status, token } = await register(first.url, 'alice')
  expect(status).toBe(200)
  expect(await first.stop('SIGTERM')).toBe(0)
  expect(first.output().match(/^listening on /gm)).toHaveLength(1)
  expect(first.output()).toContain('register-user')

  const second = await start()
  const answer = await fetch(`${second.url}/_matrix/client/v3/account/whoami`, { headers: { authorization: `Bearer ${token}` } })
  expect(await answer.json()).toMatchObject({ user_id: '@alice:first.example' })
  // Open registration was for the first run only.
  expect((await register(second.url, 'bob')).status).toBe(403)
  expect(await second.stop('SIGINT')).toBe(0)
})

test('the name of a server cannot be changed', async () => {
  await (await start()).stop('SIGTERM')
  await expect(start('--server-name', 'other.example')).rejects.toThrow('the name of a server cannot be changed')
})

test('after kill -9 the next start works', async () => {
  const first = await start('--open-registration')
  const { token } = await register(first.url, 'alice')
  await first.stop('SIGKILL')
  const second = await start()
  const answer = await fetch(`${second.url}/_matrix/client/v3/account/whoami`, { headers: { authorization: `Bearer ${token}` } })
  expect(answer.status).toBe(200)
})

test('the settings hold secrets of their own and only their owner may read them', async () => {
  await (await start()).stop('SIGTERM')
  const text = readFileSync(join(directory, 'data', 'homeserver.yaml'), 'utf8')
  const secrets = [...text.matchAll(/^\w*secret\w*: "([\w-]+)"$/gm)].map(([, secret]) => secret)
  expect(secrets).toHaveLength(3)
  expect(new Set(secrets).size).toBe(3)
  for (const secret of secrets) expect(secret?.length).toBeGreaterThanOrEqual(48)
})
