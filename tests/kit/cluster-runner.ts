import { loadConfig } from '../../src/config/config.ts'
import { buildProxyModel } from '../../src/process/proxy-config/model.ts'
import { writeNginx } from '../../src/process/proxy-config/nginx.ts'
import { readProcesses } from '../../src/process/proxy-config/topology.ts'
import { startServer } from '../../src/process/main.ts'
import type { RunningServer } from '../../src/process/main.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { FULL_LAYOUT, writeClusterFiles } from './cluster-layout.ts'
import { RunningProxy } from './proxy-runner.ts'
import type { LaunchSettings, RunningTestServer } from './server-runners.ts'
import { TestLogger } from './test-logger.ts'
import { findFreePort, startTestRedis } from './test-redis.ts'

/**
 * Runs a server as many processes of the full layout behind nginx with the generated configuration. The processes live in this
 * one, each with its own connections and caches; what they tell each other goes through Redis and sockets.
 */
export async function runCluster(settings: LaunchSettings): Promise<RunningTestServer> {
  const { directory, databaseOptions } = settings
  const stops: (() => Promise<void>)[] = []
  const stop = async (): Promise<void> => {
    for (const one of stops.splice(0).toReversed()) await one()
  }
  try {
    const redis = await startTestRedis()
    stops.push(() => redis.stop())
    const { layout, config } = { layout: FULL_LAYOUT, config: settings.config }
    const files = await writeClusterFiles({ directory, layout, config, databaseOptions, redisSocket: redis.socketPath })
    const names = ['main', ...layout.workers.map(({ name }) => name)]
    const servers = await startAll(names, files.shared, files.fileOf, { ...databaseOptions, max: 4 })
    stops.push(async () => void (await Promise.all(servers.map((server) => server.stop()))))
    const port = settings.port === 0 ? await findFreePort() : settings.port
    const model = buildProxyModel(readProcesses([files.shared], files.workersDirectory), {
      listen: [
        `http:127.0.0.1:${port}`,
        ...(settings.federationPort === undefined ? [] : [`127.0.0.1:${settings.federationPort}`]),
      ],
      ...(settings.federationPort === undefined ? {} : { tls: certificateOf(config) }),
      pools: new Map(),
      isAdminHidden: false,
    })
    const proxy = await RunningProxy.start('nginx', writeNginx(model, { isFragment: false }), port)
    stops.push(() => proxy.stop())
    return { baseUrl: `http://127.0.0.1:${port}`, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function certificateOf(config: Readonly<Record<string, unknown>>): { certificate: string; key: string } {
  return { certificate: String(config['tls_certificate_path']), key: String(config['tls_private_key_path']) }
}

async function startAll(
  names: readonly string[],
  shared: string,
  fileOf: (name: string) => string | undefined,
  databaseOptions: DatabaseOptions,
): Promise<RunningServer[]> {
  const started = await Promise.allSettled(
    names.map((name) => {
      const file = fileOf(name)
      const config = loadConfig(file === undefined ? [shared] : [shared, file])
      return startServer({ config, logger: new TestLogger(), databaseOptions })
    }),
  )
  const servers = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  const failed = started.find((one) => one.status === 'rejected')
  if (!failed) return servers
  await Promise.all(servers.map((server) => server.stop()))
  throw failed.reason
}
