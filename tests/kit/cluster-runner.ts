import { loadConfig } from '../../src/config/config.ts'
import { buildProxyModel } from '../../src/process/proxy-config/model.ts'
import { writeNginx } from '../../src/process/proxy-config/nginx.ts'
import { readProcesses } from '../../src/process/proxy-config/topology.ts'
import { startServer } from '../../src/process/main.ts'
import type { RunningServer } from '../../src/process/main.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { FULL_LAYOUT, writeClusterFiles } from './cluster-layout.ts'
import type { ClusterFiles, Layout } from './cluster-layout.ts'
import { RunningProxy } from './proxy-runner.ts'
import type { LaunchSettings, RunningTestServer } from './server-runners.ts'
import { TestLogger } from './test-logger.ts'
import { findFreePort, startTestRedis } from './test-redis.ts'

/** Processes of a layout that run, without a proxy. */
export interface RunningProcesses {
  readonly files: ClusterFiles
  stop(): Promise<void>
}

/** Starts the processes of a layout with a Redis of their own, all in this process. */
export async function startProcesses(
  settings: Pick<LaunchSettings, 'config' | 'directory' | 'databaseOptions'>,
  layout: Layout,
): Promise<RunningProcesses> {
  const { directory, databaseOptions, config } = settings
  const redis = await startTestRedis()
  try {
    const files = await writeClusterFiles({ directory, layout, config, databaseOptions, redisSocket: redis.socketPath })
    const names = ['main', ...layout.workers.map(({ name }) => name)]
    const servers = await startAll(names, files.shared, files.fileOf, { ...databaseOptions, max: 4 })
    return {
      files,
      async stop() {
        await Promise.all(servers.map((server) => server.stop()))
        await redis.stop()
      },
    }
  } catch (error) {
    await redis.stop()
    throw error
  }
}

/**
 * Runs a server as many processes of the full layout behind nginx with the generated configuration. The processes live in this
 * one, each with its own connections and caches; what they tell each other goes through Redis and sockets.
 */
export async function runCluster(settings: LaunchSettings): Promise<RunningTestServer> {
  const { config, federationPort } = settings
  const { files, stop } = await startProcesses(settings, FULL_LAYOUT)
  try {
    const port = settings.port === 0 ? await findFreePort() : settings.port
    const model = buildProxyModel(readProcesses([files.shared], files.workersDirectory), {
      listen: [`http:127.0.0.1:${port}`, ...(federationPort === undefined ? [] : [`127.0.0.1:${federationPort}`])],
      ...(federationPort === undefined ? {} : { tls: certificateOf(config) }),
      pools: new Map(),
      isAdminHidden: false,
    })
    const proxy = await RunningProxy.start('nginx', writeNginx(model, { isFragment: false }), port)
    return {
      baseUrl: `http://127.0.0.1:${port}`,
      async stop() {
        await proxy.stop()
        await stop()
      },
    }
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
