import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { generateSigningKey, parseSigningKeys, serializeSigningKeys } from '../protocol/signing-key.ts'
import type { SigningKey } from '../protocol/signing-key.ts'
import type { Random } from '../util/random.ts'
import { ConfigError } from './config-error.ts'
import type { Config } from './config.ts'

/** The file of the signing key: `signing_key_path`, or `<server_name>.signing.key` beside the configuration. */
export function signingKeyPathOf(config: Config): string {
  return resolve(config.keys.signingKeyPath ?? join(config.directory, `${config.server.serverName}.signing.key`))
}

/** Reads the keys that this server signs with; the first is the one in use. Makes a new one where there is no file yet. Throws ConfigError. */
export function loadOrCreateSigningKeys(config: Config, random: Random): readonly SigningKey[] {
  const path = signingKeyPathOf(config)
  try {
    if (config.keys.signingKey !== undefined) return parseSigningKeys(config.keys.signingKey)
    if (!existsSync(path)) writeSigningKey(path, random)
    const keys = parseSigningKeys(readFileSync(path, 'utf8'))
    if (keys.length === 0) throw new Error('the file has no key')
    return keys
  } catch (error) {
    const what = config.keys.signingKey === undefined ? `signing_key_path: ${path}` : 'signing_key'
    throw new ConfigError([`${what}: ${error instanceof Error ? error.message : String(error)}`])
  }
}

/** Writes a new signing key, readable by its owner only. Never overwrites one: users' trust hangs on it. */
export function writeSigningKey(path: string, random: Random): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, serializeSigningKeys([generateSigningKey(random)]), { mode: 0o600, flag: 'wx' })
}
