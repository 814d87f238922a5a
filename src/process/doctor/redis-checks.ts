import { Redis } from 'ioredis'
import type { RedisOptions } from 'ioredis'
import { redisSettingsOf } from '../../replication/redis-settings.ts'
import type { RedisSettings } from '../../replication/redis-settings.ts'
import type { ConfigurationUnderTest } from './config-checks.ts'
import { describeError, doubt, fault } from './finding.ts'
import type { Finding } from './finding.ts'

const CONNECT_TIMEOUT_MS = 3000
const VERSION_MIN = 5

/** Connects to Redis as the processes do, and looks at how it is set up. */
export async function checkRedis({ processes, shared, places }: ConfigurationUnderTest): Promise<Finding[]> {
  const redis = processes.find(({ app }) => app === undefined)?.config.workers.redis
  if (redis === undefined || !redis.enabled) return []
  const place = places.of(shared, 'redis')
  let settings: RedisSettings
  try {
    settings = redisSettingsOf(redis)
  } catch (error) {
    return [fault(`${place}: ${describeError(error)}; correct the names of the TLS files`)]
  }
  const client = connect(settings)
  // Told by the command that fails, too.
  let reason = ''
  client.on('error', (error) => (reason = describeError(error)))
  try {
    await client.connect()
    const facts = parseInfo(await client.info())
    const keys = await client.dbsize()
    return judge(place, { facts, keys, db: settings.db ?? 0 })
  } catch (error) {
    return [
      fault(
        `${place}: Redis cannot be reached (${reason || describeError(error)}); start it, or correct host, port and password. Until then PostgreSQL carries the messages, slower`,
      ),
    ]
  } finally {
    client.disconnect()
  }
}

function connect(settings: RedisSettings): Redis {
  const [node] = settings.cluster ?? []
  const { path, username, password, db, tls, sentinels } = settings
  const options: Omit<RedisOptions, 'replyMapping'> = {
    host: node?.host ?? settings.host,
    port: node?.port ?? settings.port,
    lazyConnect: true,
    protocol: 2,
    connectTimeout: CONNECT_TIMEOUT_MS,
    // Once is enough to tell.
    retryStrategy: () => null,
    sentinelRetryStrategy: () => null,
    maxRetriesPerRequest: 0,
  }
  if (path !== undefined) options.path = path
  if (username !== undefined) options.username = username
  if (password !== undefined) options.password = password
  if (db !== undefined) options.db = db
  if (tls !== undefined) {
    const { ca, ...own } = tls
    options.tls = { ...own, ...(ca ? { ca: [...ca] } : {}) }
  }
  if (sentinels !== undefined) {
    options.sentinels = [...sentinels]
    options.name = settings.sentinelName ?? 'mymaster'
    if (settings.sentinelUsername !== undefined) options.sentinelUsername = settings.sentinelUsername
    if (settings.sentinelPassword !== undefined) options.sentinelPassword = settings.sentinelPassword
  }
  return new Redis(options)
}

function parseInfo(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split('\r\n').flatMap((line) => {
      const colon = line.indexOf(':')
      return colon === -1 ? [] : [[line.slice(0, colon), line.slice(colon + 1)] as const]
    }),
  )
}

function judge(place: string, { facts, keys, db }: { facts: ReadonlyMap<string, string>; keys: number; db: number }): Finding[] {
  const findings: Finding[] = []
  const version = facts.get('redis_version') ?? ''
  if (Number.parseInt(version, 10) < VERSION_MIN)
    findings.push(fault(`${place}: Redis ${version} is too old; install ${VERSION_MIN} or later`))
  const policy = facts.get('maxmemory_policy') ?? 'noeviction'
  if (policy !== 'noeviction')
    findings.push(
      doubt(
        `${place}: Redis throws keys away when memory runs short (maxmemory-policy ${policy}); set \`maxmemory-policy noeviction\` in redis.conf`,
      ),
    )
  if (facts.get('role') === 'slave')
    findings.push(
      fault(`${place}: this Redis is a replica, which tells nothing to the others; name the master, or its Sentinels`),
    )
  if (keys > 0)
    findings.push(
      doubt(`${place}: database ${db} holds ${keys} keys of other programs; give this server one of its own with \`dbid\``),
    )
  return findings
}
