import { expect, test } from 'vitest'
import { ConfigError } from './config-error.ts'
import { parseLogConfig } from './log-config.ts'

const SAMPLE = `
version: 1
formatters:
  precise: { format: '%(asctime)s - %(name)s - %(message)s' }
  structured: { class: synapse.logging.TerseJsonFormatter }
handlers:
  file:
    class: logging.handlers.TimedRotatingFileHandler
    formatter: precise
    filename: /var/log/homeserver.log
    when: midnight
    backupCount: 3
  buffer: { class: synapse.logging.handlers.PeriodicallyFlushingMemoryHandler, target: file, capacity: 10, flushLevel: 30 }
  console: { class: logging.StreamHandler, formatter: structured, stream: ext://sys.stdout, level: WARNING }
loggers:
  synapse.storage.SQL: { level: DEBUG }
  twisted: { handlers: [file], propagate: false }
root: { level: ERROR, handlers: [buffer, console] }
disable_existing_loggers: false
`

test('levels, files and their rotation, buffers and formats are understood (WO-04)', () => {
  const settings = parseLogConfig(SAMPLE, 'log.yaml')
  expect(settings.rootLevel).toBe('error')
  expect([...settings.levels]).toEqual([['storage.sql', 'debug']])
  expect(settings.sinks).toEqual([
    {
      kind: 'file',
      path: '/var/log/homeserver.log',
      rotation: { by: 'day', everyDays: 1, keepCount: 3 },
      format: 'text',
      level: 'debug',
    },
    { kind: 'stream', fd: 1, format: 'json', level: 'warn' },
  ])
})

test('an unknown level and a handler that is missing are errors with a place', () => {
  expect(() => parseLogConfig('version: 1\nroot: { level: LOUD, handlers: [nope] }\n', 'log.yaml')).toThrow(ConfigError)
  expect(() => parseLogConfig('root: { level: LOUD }\n', 'log.yaml')).toThrow('log.yaml:1:16')
})

test('an empty file logs to standard error', () => {
  expect(parseLogConfig('version: 1\n', 'log.yaml').sinks).toMatchObject([{ kind: 'stream', fd: 2 }])
})
