import { readFileSync, writeFileSync } from 'node:fs'
import { generateSigningKey, parseSigningKeys, serializeSigningKeys } from '../protocol/signing-key.ts'
import { systemClock } from '../util/clock.ts'
import { systemRandom } from '../util/random.ts'
import { CliError, EXIT } from './cli-error.ts'
import { print } from './command.ts'
import type { Command } from './command.ts'
import { parseFlags } from './flags.ts'

// Time for a running server to change to the new key.
const EXPIRY_DEFAULT_MS = 6 * 3_600_000
const GENERATE_FLAGS = {
  output_file: { type: 'string', short: 'o', value: 'FILE', doc: 'Where to write; standard output by default.' },
} as const
const EXPORT_FLAGS = {
  'for-config': { type: 'boolean', short: 'x', doc: 'Prints it as `old_signing_keys` wants it.' },
  'expiry-ts': {
    type: 'string',
    value: 'MS',
    doc: 'When the key ceased to be used, in milliseconds since 1970; in six hours by default.',
  },
} as const

/** Makes a signing key. Flags as Synapse's `generate_signing_key`. */
export const generateSigningKeyCommand: Command = {
  name: 'generate-signing-key',
  summary: 'Makes a signing key.',
  usage: '[-o FILE]',
  flags: GENERATE_FLAGS,
  run(args) {
    const { flags } = parseFlags(args, GENERATE_FLAGS)
    const text = serializeSigningKeys([generateSigningKey(systemRandom)])
    if (flags.output_file === undefined || flags.output_file === '-') process.stdout.write(text)
    else writeFileSync(flags.output_file, text, { mode: 0o640 })
    return Promise.resolve(EXIT.ok)
  },
}

/** Prints the public half of signing keys. Flags as Synapse's `export_signing_key`. */
export const exportSigningKeyCommand: Command = {
  name: 'export-signing-key',
  summary: 'Prints the public part of a signing key, to publish it as an old one.',
  usage: '[-x] [--expiry-ts MS] FILE …',
  flags: EXPORT_FLAGS,
  run(args) {
    const { flags, positionals } = parseFlags(args, EXPORT_FLAGS, { positionalsMax: Number.POSITIVE_INFINITY })
    if (positionals.length === 0) throw new CliError('name the key file')
    const expiryTs = flags['expiry-ts'] === undefined ? systemClock.nowMs() + EXPIRY_DEFAULT_MS : Number(flags['expiry-ts'])
    if (!Number.isSafeInteger(expiryTs)) throw new CliError('--expiry-ts is a whole number of milliseconds')
    for (const file of positionals) {
      for (const key of readKeys(file)) {
        print(
          flags['for-config'] === true
            ? `  "${key.id}": { key: "${key.publicKeyBase64}", expired_ts: ${expiryTs} }`
            : `${key.id} ${key.publicKeyBase64}`,
        )
      }
    }
    return Promise.resolve(EXIT.ok)
  },
}

function readKeys(file: string): ReturnType<typeof parseSigningKeys> {
  try {
    return parseSigningKeys(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new CliError(`cannot read a key from ${file}: ${error instanceof Error ? error.message : String(error)}`, {
      status: EXIT.failed,
      cause: error,
    })
  }
}
