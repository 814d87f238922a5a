import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { LogRotation } from './log-sink.ts'
import { createLogger } from './logger.ts'
import type { LogLevel, RootLogger } from './logger.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'logger-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

interface Options {
  readonly format?: 'text' | 'json'
  readonly levels?: ReadonlyMap<string, LogLevel>
  readonly rotation?: LogRotation
}

function makeLogger({ format = 'text', levels = new Map(), rotation }: Options = {}): { logger: RootLogger; read: () => string } {
  const path = join(directory, 'logs', 'test.log')
  const logger = createLogger({ rootLevel: 'info', levels, sinks: [{ kind: 'file', path, format, level: 'debug', rotation }] })
  return { logger, read: () => readFileSync(path, 'utf8') }
}

test('a text line has time, level, name, message and fields', () => {
  const { logger, read } = makeLogger()
  logger.child('http').child('access').warn('slow request', { path: '/a', took: 12 })
  expect(read()).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} WARN {2}http\.access: slow request path=\/a took=12\n$/)
})

test('an error is written with its stack and its causes', () => {
  const { logger, read } = makeLogger()
  logger.error('it failed', { error: new Error('outer', { cause: new Error('inner') }) })
  expect(read()).toContain('Error: outer\n')
  expect(read()).toContain('caused by Error: inner')
})

test.each(['text', 'json'] as const)('secrets are never written (%s)', (format) => {
  const { logger, read } = makeLogger({ format })
  logger.info('GET /sync?access_token=hunter2&since=s1', { authorization: 'Bearer hunter2', body: { password: 'hunter"2' } })
  logger.info('with header Authorization: Bearer hunter2')
  expect(read()).not.toContain('hunter')
  expect(read()).toContain('since=s1')
})

test('the level of the longest name that fits decides', () => {
  const { logger, read } = makeLogger({
    levels: new Map<string, LogLevel>([
      ['storage', 'error'],
      ['storage.sql', 'debug'],
    ]),
  })
  logger.child('storage').info('hidden')
  logger.child('storage').child('sql').debug('shown')
  logger.debug('hidden too')
  expect(read()).toMatch(/^[^\n]*storage\.sql: shown\n$/)
})

test('a full file is moved away and only so many old ones are kept', () => {
  const { logger } = makeLogger({ rotation: { by: 'size', fileBytesMax: 400, keepCount: 2 } })
  for (let index = 0; index < 20; index++) logger.info(`line ${index} ${'x'.repeat(80)}`)
  expect(readdirSync(join(directory, 'logs')).toSorted()).toEqual(['test.log', 'test.log.1', 'test.log.2'])
})
