import { describe, expect, test } from 'vitest'
import type { SpecOperation } from './operations.ts'
import { ResponseChecker, SpecViolation } from './response-checker.ts'
import { isSpecObject } from './spec-files.ts'
import type { SpecObject, SpecValue } from './spec-files.ts'

const checker = new ResponseChecker()

/** Examples of the specification that break its own schemas. */
const KNOWN_BAD_EXAMPLES = new Set(['getProtocols 200'])

describe('the checker made from the specification', () => {
  test('knows all operations of both surfaces', () => {
    expect(checker.operations.filter((operation) => operation.surface === 'client-server')).toHaveLength(166)
    expect(checker.operations.filter((operation) => operation.surface === 'server-server')).toHaveLength(36)
  })

  test("lets the specification's own examples pass", () => {
    const problems: string[] = []
    let count = 0
    for (const { operation, status, example } of responseExamples()) {
      if (KNOWN_BAD_EXAMPLES.has(`${operation.operationId} ${status}`)) continue
      count += 1
      try {
        checker.check(answer(operation, Number(status), example))
      } catch (error) {
        problems.push(String(error))
      }
    }
    expect(problems).toEqual([])
    expect(count).toBeGreaterThan(330)
  })

  test('finds the operation of an example by its own path', () => {
    for (const operation of checker.operations) {
      expect(checker.operationsFor(operation.method, concretePath(operation))).toContain(operation)
    }
  })

  test.each([
    ['a missing required member', 'GET', '/_matrix/client/v3/account/whoami', 200, {}, /required property 'user_id'/],
    ['a member of a wrong type', 'GET', '/_matrix/client/v3/joined_rooms', 200, { joined_rooms: 'none' }, /must be array/],
    ['an identifier of a wrong form', 'GET', '/_matrix/client/v3/account/whoami', 200, { user_id: 'alice' }, /mx-user-id/],
    ['an undocumented success', 'GET', '/_matrix/client/v3/joined_rooms', 204, {}, /does not document this status/],
    [
      'an undocumented failure',
      'GET',
      '/_matrix/client/v3/joined_rooms',
      418,
      { errcode: 'M_TEA', error: 'x' },
      /neither this status/,
    ],
    [
      'a server error',
      'GET',
      '/_matrix/client/v3/joined_rooms',
      500,
      { errcode: 'M_UNKNOWN', error: 'x' },
      /neither this status/,
    ],
    ['an error without errcode', 'GET', '/_matrix/client/v3/joined_rooms', 403, { error: 'no' }, /errcode/],
    ['an error without explanation', 'GET', '/_matrix/client/v3/joined_rooms', 403, { errcode: 'M_FORBIDDEN' }, /explanation/],
    [
      'a token error with a wrong code',
      'GET',
      '/_matrix/client/v3/joined_rooms',
      401,
      { errcode: 'M_FORBIDDEN', error: 'x' },
      /neither this status/,
    ],
    ['an error of an unknown path without errcode', 'GET', '/_matrix/unknown', 404, {}, /errcode/],
    [
      'a deep error in an old version of a path',
      'GET',
      '/_matrix/client/r0/sync',
      200,
      { next_batch: 1 },
      /next_batch must be string/,
    ],
  ])('reports %s', (_name, method, url, status, body, problem) => {
    const response = { method, url, status, contentType: 'application/json', bodyText: JSON.stringify(body) }
    expect(() => checker.check(response)).toThrow(SpecViolation)
    expect(() => checker.check(response)).toThrow(problem)
  })

  test('reports a body that is not JSON, and a wrong content type', () => {
    const response = { method: 'GET', url: '/_matrix/client/v3/joined_rooms', status: 200, contentType: 'application/json' }
    expect(() => checker.check({ ...response, bodyText: '{' })).toThrow(/not JSON/)
    expect(() => checker.check({ ...response, bodyText: '{"joined_rooms":[]}', contentType: 'text/plain' })).toThrow(
      /content type/,
    )
  })

  test.each([
    ['/_matrix/client/api/v1/rooms/!a:b/state/m.room.topic', 'getRoomStateWithKey'],
    ['/_matrix/client/v3/rooms/!a:b/state/m.room.topic/', 'getRoomStateWithKey'],
    ['/_matrix/client/unstable/org.matrix.msc3827/publicRooms', 'getPublicRooms'],
    ['/_matrix/client/r0/publicRooms?limit=3', 'getPublicRooms'],
    ['/_matrix/media/r0/download/a/b', 'getContent'],
    ['/_matrix/client/v3/rooms/!a:b/relations/$c', 'getRelatingEvents'],
  ])('finds %s', (url, operationId) => {
    expect(checker.operationsFor('GET', url).map((operation) => operation.operationId)).toEqual([operationId])
  })
})

function answer(operation: SpecOperation, status: number, example: SpecValue) {
  // Several examples of errors leave out the explanation; our answers may not.
  const body = isSpecObject(example) && status >= 400 && 'errcode' in example ? { error: 'left out', ...example } : example
  return {
    method: operation.method,
    url: concretePath(operation),
    status,
    contentType: 'application/json',
    bodyText: JSON.stringify(body),
  }
}

function concretePath(operation: SpecOperation): string {
  return operation.path.replaceAll(/\{(\w+)\}/g, 'some_$1')
}

function* responseExamples(): Generator<{ operation: SpecOperation; status: string; example: SpecValue }> {
  for (const operation of checker.operations) {
    for (const [status, response] of operation.responses) {
      const json = isSpecObject(response['content']) ? response['content']['application/json'] : undefined
      if (!isSpecObject(json)) continue
      for (const example of examplesOf(json)) yield { operation, status, example }
    }
  }
}

function examplesOf(json: SpecObject): SpecValue[] {
  const named = isSpecObject(json['examples']) ? Object.values(json['examples']) : []
  const values = named.filter(isSpecObject).map((example) => example['value'] ?? null)
  if (json['example'] !== undefined) values.push(json['example'])
  const schema = json['schema']
  if (isSpecObject(schema) && schema['example'] !== undefined) values.push(schema['example'])
  return values
}
