import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

const PROGRAM = join(import.meta.dirname, '..', '..', 'bin', 'register_new_matrix_user')
let server: Server
let url: string
let requests: Record<string, unknown>[]
let answer: { status: number; body: object }

beforeAll(async () => {
  server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => (text += chunk.toString()))
    request.on('end', () => {
      if (request.method === 'GET') return response.end('{"nonce":"thenonce"}')
      requests.push(JSON.parse(text) as Record<string, unknown>)
      return response.writeHead(answer.status).end(JSON.stringify(answer.body))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
})
afterAll(() => void server.close())
beforeEach(() => {
  requests = []
  answer = { status: 200, body: {} }
})

async function run(args: readonly string[], input = ''): Promise<{ status: number; stderr: string }> {
  const child = spawn(PROGRAM, args, { stdio: ['pipe', 'ignore', 'pipe'] })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  child.stdin.end(input)
  const [status] = (await once(child, 'close')) as [number]
  return { status, stderr }
}

test('the request carries the proof of the shared secret, and not the secret', async () => {
  expect(await run(['-u', 'pepper_roni', '-p', 'pizza', '-a', '-k', 'shared_secret', url])).toMatchObject({ status: 0 })
  // Computed with: printf 'thenonce\0pepper_roni\0pizza\0admin' | openssl sha1 -hmac shared_secret
  expect(requests).toEqual([
    {
      nonce: 'thenonce',
      username: 'pepper_roni',
      password: 'pizza',
      admin: true,
      user_type: null,
      mac: '4ac2b0bfe508c1d9462cebbdcc4d34cc4f38a007',
    },
  ])
})

test('what the flags do not say is asked for', async () => {
  expect(await run(['-k', 'secret', url], 'bob\nbuilder\nno\n')).toMatchObject({ status: 0 })
  expect(requests).toMatchObject([{ username: 'bob', password: 'builder', admin: false }])
})

test('a refusal is shown and is a failure, unless the user exists and may', async () => {
  answer = { status: 400, body: { errcode: 'M_USER_IN_USE', error: 'User ID already taken.' } }
  const args = ['-u', 'bob', '-p', 'x', '--no-admin', '-k', 's', url]
  expect(await run(args)).toEqual({ status: 1, stderr: 'ERROR! Received 400\nUser ID already taken.\n' })
  expect(await run(['--exists-ok', ...args])).toEqual({ status: 0, stderr: '' })
})
