import { readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import type { DatabaseConfig } from '../config/database.ts'
import { ConfigError } from '../config/config-error.ts'
import type { DatabaseOptions } from '../storage/database.ts'

const DEFAULT_PORT = 5432
const DEFAULT_HOST = '/var/run/postgresql'

/** Translates Synapse's `database.args` for our driver. Throws ConfigError where a certificate cannot be read. */
export function outsideDatabaseOptions({ args }: DatabaseConfig): DatabaseOptions {
  const ssl = buildSsl(args)
  return {
    // As libpq: without a host, the socket of this machine.
    host: args.host ?? DEFAULT_HOST,
    port: args.port ?? DEFAULT_PORT,
    user: args.user ?? userInfo().username,
    database: args.database ?? 'synapse',
    max: args.connectionsMax,
    ...(args.password === undefined ? {} : { password: args.password }),
    ...(ssl === undefined ? {} : { ssl }),
  }
}

/** libpq's words: `require` encrypts and checks nothing, `verify-ca` and `verify-full` check; `prefer` and `allow` may go unencrypted. */
function buildSsl(args: DatabaseConfig['args']): Exclude<DatabaseOptions['ssl'], boolean> | undefined {
  const mode = args.sslMode ?? 'prefer'
  if (['disable', 'allow', 'prefer'].includes(mode)) return undefined
  if (!['require', 'verify-ca', 'verify-full'].includes(mode)) {
    throw new ConfigError([
      `database.args.sslmode: expected disable, allow, prefer, require, verify-ca or verify-full, found ${JSON.stringify(mode)}`,
    ])
  }
  const ca = readCertificate('sslrootcert', args.sslRootCertificate)
  const cert = readCertificate('sslcert', args.sslCertificate)
  const key = readCertificate('sslkey', args.sslKey)
  return {
    rejectUnauthorized: mode !== 'require' || ca !== undefined,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}

function readCertificate(option: string, path: string | undefined): string | undefined {
  if (path === undefined) return undefined
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new ConfigError([
      `database.args.${option}: cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`,
    ])
  }
}
