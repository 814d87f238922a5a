import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ENDPOINTS } from '../../src/api/endpoints.ts'
import { loadOperations } from '../kit/spec/operations.ts'
import { TestServer } from '../kit/test-server.ts'

const operations = loadOperations('client-server').filter((operation) => operation.authentication === 'required')
// The federation API has operations of the same names.
const served = new Set(
  ENDPOINTS.filter((endpoint) => !endpoint.paths[0]?.startsWith('/_matrix/federation/')).map((endpoint) => endpoint.operationId),
)

describe('an operation that needs an access token', () => {
  let server: TestServer

  beforeAll(async () => {
    server = await TestServer.start()
  })

  afterAll(() => server[Symbol.asyncDispose]())

  test('is in the list by the dozen', () => {
    expect(operations.length).toBeGreaterThan(120)
  })

  test.each(
    operations
      .filter((operation) => served.has(operation.operationId))
      .map((operation) => [operation.operationId, operation] as const),
  )('%s refuses requests without one, and with a wrong one', async (_id, operation) => {
    const client = server.anonymous()
    const path = operation.path.replaceAll(/\{(\w+)\}/g, 'some_$1')
    const body = operation.method === 'GET' ? {} : { body: {} }
    await client.fails(401, 'M_MISSING_TOKEN', operation.method, path, body)
    await client.fails(401, 'M_UNKNOWN_TOKEN', operation.method, path, {
      ...body,
      token: 'syt_d3Jvbmc_aaaaaaaaaaaaaaaaaaaa_0abcde',
    })
  })
})
