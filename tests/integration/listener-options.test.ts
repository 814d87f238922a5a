import { gunzipSync } from 'node:zlib'
import { request } from 'undici'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Endpoint } from '../../src/http/endpoint.ts'
import { HttpServer } from '../../src/http/http-server.ts'
import type { RequestInfo } from '../../src/http/http-server.ts'

const TEXT = JSON.stringify({ text: 'x'.repeat(5000) })
const finished: RequestInfo[] = []
let server: HttpServer<undefined>
let baseUrl: string

beforeAll(async () => {
  const endpoints = (['client', 'federation'] as const).map((resource): Endpoint<undefined> => ({
    operationId: resource,
    method: 'GET',
    paths: [`/${resource}`],
    resource,
    group: 'server',
    run: () => Promise.resolve({ status: 200, contentType: 'application/json', body: TEXT }),
  }))
  const options = {
    isForwarded: false,
    compressedResources: new Set(['client'] as const),
    requestIdHeader: 'X-Request-Name',
    onFinished: (info: RequestInfo) => finished.push(info),
    onInternalError: (error: unknown) => expect.unreachable(String(error)),
  }
  server = new HttpServer(options, endpoints, undefined)
  baseUrl = await server.listen({ host: '127.0.0.1', port: 0 })
})

afterAll(() => server.close())

test('a resource with `compress` is compressed, others are not (WO-23)', async () => {
  const headers = { 'accept-encoding': 'gzip' }
  const client = await request(`${baseUrl}/client`, { headers })
  expect(client.headers['content-encoding']).toBe('gzip')
  expect(gunzipSync(Buffer.from(await client.body.arrayBuffer())).toString()).toBe(TEXT)
  const federation = await request(`${baseUrl}/federation`, { headers })
  expect(federation.headers['content-encoding']).toBeUndefined()
  expect(await federation.body.text()).toBe(TEXT)
})

test('the log knows a request by the name that the proxy gave it (WO-23)', async () => {
  finished.length = 0
  for (const headers of [{ 'x-request-name': 'r-17' }, {}]) await (await request(`${baseUrl}/client`, { headers })).body.dump()
  expect(finished.map(({ requestId }) => requestId)).toEqual(['r-17', undefined])
})
