import { expect, test } from 'vitest'
import { parseFlags } from './flags.ts'

const TABLE = {
  'config-path': { type: 'string', short: 'c', multiple: true, doc: '' },
  'server-name': { type: 'string', doc: '' },
  quiet: { type: 'boolean', doc: '' },
} as const

test('values stand behind the flag or behind an equals sign, and may repeat', () => {
  const { flags, positionals } = parseFlags(['-c', 'a', '--config-path=b', '--quiet', 'url'], TABLE, { positionalsMax: 1 })
  expect(flags['config-path']).toEqual(['a', 'b'])
  expect(flags.quiet).toBe(true)
  expect(positionals).toEqual(['url'])
})

test.each([
  [['--sever-name', 'x'], 'there is no flag --sever-name; did you mean --server-name?'],
  [['--server-name'], '--server-name needs a value'],
  [['--server-name', '--quiet'], '--server-name needs a value'],
  [['--quiet=1'], '--quiet takes no value'],
  [['stray'], 'unexpected argument "stray"'],
])('%j is refused', (args, message) => {
  expect(() => parseFlags(args, TABLE)).toThrow(message)
})
