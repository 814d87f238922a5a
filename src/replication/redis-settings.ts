import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { WorkersConfig } from '../config/workers.ts'

export interface RedisAddress {
  readonly host: string
  readonly port: number
}

/** How to reach Redis. */
export interface RedisSettings {
  readonly host: string
  readonly port: number
  /** A Unix socket, instead of host and port. */
  readonly path?: string | undefined
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly db?: number | undefined
  readonly tls?: { readonly cert?: string; readonly key?: string; readonly ca?: readonly string[] } | undefined
  /** The Sentinels that know where it is, instead of host and port. */
  readonly sentinels?: readonly RedisAddress[] | undefined
  readonly sentinelName?: string | undefined
  readonly sentinelUsername?: string | undefined
  readonly sentinelPassword?: string | undefined
  /** Some nodes of a Redis Cluster, instead of host and port. */
  readonly cluster?: readonly RedisAddress[] | undefined
}

/** Makes settings of the option `redis`; reads the files of TLS. Throws where one can not be read. */
export function redisSettingsOf(redis: WorkersConfig['redis']): RedisSettings {
  return {
    host: redis.host,
    port: redis.port,
    path: redis.path,
    username: redis.username,
    password: redis.password,
    db: redis.dbid,
    tls: redis.useTls ? readTls(redis) : undefined,
    sentinels: redis.sentinels.length > 0 ? redis.sentinels : undefined,
    sentinelName: redis.sentinelName,
    sentinelUsername: redis.sentinelUsername,
    sentinelPassword: redis.sentinelPassword,
    cluster: redis.cluster.length > 0 ? redis.cluster : undefined,
  }
}

function readTls(redis: WorkersConfig['redis']): NonNullable<RedisSettings['tls']> {
  const { certificateFile, privateKeyFile, caFile, caPath } = redis
  const authorities = [
    ...(caFile === undefined ? [] : [caFile]),
    ...(caPath === undefined
      ? []
      : readdirSync(caPath, { withFileTypes: true }).flatMap((file) => (file.isDirectory() ? [] : [join(caPath, file.name)]))),
  ]
  return {
    ...(certificateFile === undefined ? {} : { cert: readFileSync(certificateFile, 'utf8') }),
    ...(privateKeyFile === undefined ? {} : { key: readFileSync(privateKeyFile, 'utf8') }),
    ...(authorities.length === 0 ? {} : { ca: authorities.map((path) => readFileSync(path, 'utf8')) }),
  }
}
