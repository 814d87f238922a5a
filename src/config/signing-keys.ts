import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { generateSigningKey, parseSigningKeys, serializeSigningKeys } from '../protocol/signing-key.ts'
import type { SigningKey } from '../protocol/signing-key.ts'
import type { Random } from '../util/random.ts'
import { OperatorError } from '../util/operator-error.ts'
import { ConfigError } from './config-error.ts'
import type { Config } from './config.ts'

/** The file of the signing key: `signing_key_path`, or `<server_name>.signing.key` beside the configuration. */
export function signingKeyPathOf(config: Config): string {
  return resolve(config.keys.signingKeyPath ?? join(config.directory, `${config.server.serverName}.signing.key`))
}

/** Reads the keys that this server signs with; the first is the one in use. Makes a new one where there is no file yet. Throws ConfigError. */
export function loadOrCreateSigningKeys(config: Config, random: Random): readonly SigningKey[] {
  const path = signingKeyPathOf(config)
  if (config.keys.signingKey === undefined && !existsSync(path)) createSigningKey(path, random)
  return loadSigningKeys(config)
}

/** Reads the keys that this server signs with; workers never make one. Throws OperatorError where the file is missing, ConfigError where it is wrong. */
export function loadSigningKeys(config: Config): readonly SigningKey[] {
  const path = signingKeyPathOf(config)
  if (config.keys.signingKey === undefined && !existsSync(path)) {
    throw new OperatorError(
      `There is no signing key in ${path}. The main process makes it when it starts for the first time; to another machine, copy it.`,
    )
  }
  try {
    if (config.keys.signingKey !== undefined) return parseSigningKeys(config.keys.signingKey)
    const keys = parseSigningKeys(readFileSync(path, 'utf8'))
    if (keys.length === 0) throw new Error('the file has no key')
    return keys
  } catch (error) {
    const what = config.keys.signingKey === undefined ? `signing_key_path: ${path}` : 'signing_key'
    throw new ConfigError([`${what}: ${error instanceof Error ? error.message : String(error)}`])
  }
}

function createSigningKey(path: string, random: Random): void {
  try {
    writeSigningKey(path, random)
  } catch (error) {
    throw new ConfigError([`signing_key_path: ${path}: ${error instanceof Error ? error.message : String(error)}`])
  }
}

/** Writes a new signing key, readable by its owner only. Never overwrites one: users' trust hangs on it. */
export function writeSigningKey(path: string, random: Random): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, serializeSigningKeys([generateSigningKey(random)]), { mode: 0o600, flag: 'wx' })
}
