import { afterAll, beforeAll, expect, test } from 'vitest'
import { ENDPOINTS } from '../../src/api/endpoints.ts'
import { samplePath } from '../../src/process/proxy-config/routes.ts'
import { LISTENING_LAYOUT } from '../kit/cluster-layout.ts'
import { SocketCluster } from '../kit/socket-cluster.ts'
import { TestServer } from '../kit/test-server.ts'

/** Invariant I9 of the replication design: every endpoint of every process has the status that one process alone would give. */

const PROCESSES = ['main', ...LISTENING_LAYOUT.workers.map(({ name }) => name)]
/** They end the session that asks. */
const ENDS_SESSION = new Set(['logout', 'logout_all'])

let alone: TestServer
let aloneToken: string
let cluster: SocketCluster
let token: string
beforeAll(async () => {
  alone = await TestServer.startAlone()
  aloneToken = (await alone.register('alice')).accessToken ?? ''
  cluster = await SocketCluster.start(LISTENING_LAYOUT, { max_pending_media_uploads: 100 })
  token = await cluster.register('main', 'alice')
})
afterAll(async () => {
  await alone[Symbol.asyncDispose]()
  await cluster[Symbol.asyncDispose]()
})

const CASES = ENDPOINTS.filter(({ operationId }) => !ENDS_SESSION.has(operationId)).map((endpoint) => ({
  operationId: endpoint.operationId,
  method: endpoint.method,
  // Whatever waits for something new gives up at once.
  path: `${samplePath(endpoint.paths[0] ?? '')}?timeout=0&timeout_ms=0`,
}))

async function askAlone(method: string, path: string, accessToken: string | undefined): Promise<number> {
  const answer = await fetch(`${alone.baseUrl}${path}`, {
    method,
    headers: accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` },
    ...(method === 'GET' ? {} : { body: '{}' }),
  })
  await answer.arrayBuffer()
  return answer.status
}

/** Asks all processes one after the other: some requests change what the next one meets. */
async function askAll(method: string, path: string, accessToken: string | undefined): Promise<Record<string, number>> {
  const statuses: Record<string, number> = {}
  for (const process of PROCESSES) {
    const { status } = await cluster.send(process, method, path, {
      ...(accessToken === undefined ? {} : { token: accessToken }),
      ...(method === 'GET' ? {} : { body: '{}' }),
    })
    statuses[process] = status
  }
  return statuses
}

test.each(CASES)('$operationId ($method $path) has the same status everywhere', async ({ method, path }) => {
  const everywhere = (status: number): Record<string, number> => Object.fromEntries(PROCESSES.map((name) => [name, status]))
  expect(await askAll(method, path, undefined)).toEqual(everywhere(await askAlone(method, path, undefined)))
  expect(await askAll(method, path, token)).toEqual(everywhere(await askAlone(method, path, aloneToken)))
})

test.each([...ENDS_SESSION])('%s ends the session wherever it is asked, and everywhere', async (operationId) => {
  const path = samplePath(ENDPOINTS.find((endpoint) => endpoint.operationId === operationId)?.paths[0] ?? '')
  for (const [index, process] of PROCESSES.entries()) {
    const own = await cluster.register('generic1', `${operationId}${index}`)
    expect(await cluster.send(process, 'POST', path, { token: own, body: '{}' })).toMatchObject({ status: 200 })
    await expect
      .poll(async () => (await cluster.send('generic2', 'GET', '/_matrix/client/v3/account/whoami', { token: own })).status)
      .toBe(401)
  }
})

test('unknown paths are unknown to every process, and a known path with another method is not allowed (W-04)', async () => {
  for (const process of PROCESSES) {
    expect(await cluster.send(process, 'GET', '/_matrix/client/v3/nothing')).toMatchObject({ status: 404 })
    expect(await cluster.send(process, 'DELETE', '/_matrix/client/v3/sync')).toMatchObject({ status: 405 })
    expect(await cluster.send(process, 'GET', '/health')).toMatchObject({ status: 200, text: 'OK' })
    expect(await cluster.send(process, 'POST', '/_synapse/replication/r1/process.status', { body: '{}' })).toMatchObject({
      status: 404,
    })
  }
})
