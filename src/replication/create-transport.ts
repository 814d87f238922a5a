import type { WorkersConfig } from '../config/workers.ts'
import { LocalTransport } from './local-transport.ts'
import { PostgresTransport } from './postgres-transport.ts'
import type { PostgresTransportDeps } from './postgres-transport.ts'
import { redisSettingsOf } from './redis-settings.ts'
import { RedisTransport } from './redis-transport.ts'
import type { Transport } from './transport.ts'

/**
 * Makes the transport that the options `cluster.transport` and `redis` ask for. `auto`: Redis where it is enabled, none for a
 * process that is alone, PostgreSQL otherwise. After the lanes of the hub are known.
 */
export function createTransport(
  config: Pick<WorkersConfig, 'cluster' | 'redis'>,
  deps: PostgresTransportDeps & { readonly serverName: string; readonly isAlone: boolean },
): Transport {
  const { transport } = config.cluster
  if (transport === 'redis' || (transport === 'auto' && config.redis.enabled)) {
    return new RedisTransport({ ...deps, settings: redisSettingsOf(config.redis) })
  }
  return transport === 'auto' && deps.isAlone ? new LocalTransport() : new PostgresTransport(deps)
}
