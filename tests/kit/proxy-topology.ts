import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readProcesses } from '../../src/process/proxy-config/topology.ts'
import type { ServerProcess } from '../../src/process/proxy-config/topology.ts'
import { findFreePort, StubProcess } from './stub-process.ts'

interface WorkerShape {
  readonly name: string
  readonly app?: string
  readonly resources: readonly string[]
}

/** A server of many processes, of every kind that a proxy treats in its own way. */
const WORKERS: readonly WorkerShape[] = [
  { name: 'generic1', resources: ['client', 'federation'] },
  { name: 'generic2', resources: ['client', 'federation'] },
  { name: 'persister1', resources: ['client', 'replication'] },
  { name: 'persister2', resources: ['client', 'replication'] },
  { name: 'typing1', resources: ['client', 'replication'] },
  { name: 'receipts1', resources: ['client', 'replication'] },
  { name: 'to_device1', resources: ['client', 'replication'] },
  { name: 'account_data1', resources: ['client', 'replication'] },
  { name: 'presence1', resources: ['client', 'replication'] },
  { name: 'push_rules1', resources: ['client', 'replication'] },
  { name: 'device_lists1', resources: ['client', 'replication'] },
  { name: 'initial1', resources: ['client'] },
  { name: 'login1', resources: ['client'] },
  { name: 'sync1', app: 'synchrotron', resources: ['client'] },
  { name: 'sync2', app: 'synchrotron', resources: ['client'] },
  { name: 'media1', app: 'media_repository', resources: ['media'] },
  { name: 'media2', app: 'media_repository', resources: ['media'] },
  { name: 'directory1', app: 'user_dir', resources: ['client'] },
  { name: 'sender1', resources: ['replication'] },
]

const SHARED = (port: number): string => `
server_name: example.com
public_baseurl: https://matrix.example.com/
listeners:
  - { type: http, port: ${port}, bind_addresses: ['127.0.0.1'], x_forwarded: true, resources: [{ names: [client, federation] }] }
worker_replication_secret: only for this test
enable_media_repo: false
update_user_directory: false
media_instance_running_background_jobs: media1
redis: { enabled: true }
federation_sender_instances: [sender1]
instance_map:
  main: { host: localhost, port: 1 }
${WORKERS.map(({ name }, index) => `  ${name}: { host: localhost, port: ${index + 2} }`).join('\n')}
stream_writers:
  events: [persister1, persister2]
  typing: typing1
  receipts: receipts1
  to_device: to_device1
  account_data: account_data1
  presence: presence1
  push_rules: push_rules1
  device_lists: device_lists1
`

/** Pools that no option of the configuration names. */
export const WISHED_POOLS: ReadonlyMap<string, readonly string[]> = new Map([
  ['initial_sync', ['initial1']],
  ['login', ['login1']],
])

/** Configuration files of a whole server, and a stub listening where each of its processes would. */
export class ProxyTopology {
  readonly directory: string
  readonly stubs: ReadonlyMap<string, StubProcess>
  readonly ports: ReadonlyMap<string, number>

  private constructor(options: {
    directory: string
    stubs: ReadonlyMap<string, StubProcess>
    ports: ReadonlyMap<string, number>
  }) {
    this.directory = options.directory
    this.stubs = options.stubs
    this.ports = options.ports
  }

  static async start(): Promise<ProxyTopology> {
    const directory = mkdtempSync(join(tmpdir(), 'ganglion-topology-'))
    mkdirSync(join(directory, 'workers'))
    const stubs = new Map<string, StubProcess>()
    const ports = new Map<string, number>()
    for (const name of ['main', ...WORKERS.map((worker) => worker.name)]) {
      const stub = new StubProcess(name)
      ports.set(name, await stub.listen())
      stubs.set(name, stub)
    }
    writeFileSync(join(directory, 'shared.yaml'), SHARED(ports.get('main') ?? 0))
    for (const { name, app = 'generic_worker', resources } of WORKERS) {
      writeFileSync(
        join(directory, 'workers', `${name}.yaml`),
        `worker_app: synapse.app.${app}\nworker_name: ${name}\nworker_listeners:\n` +
          `  - { type: http, port: ${ports.get(name) ?? 0}, bind_addresses: ['127.0.0.1'], x_forwarded: true, ` +
          `resources: [{ names: [${resources.join(', ')}] }] }\n`,
      )
    }
    return new ProxyTopology({ directory, stubs, ports })
  }

  get shared(): string {
    return join(this.directory, 'shared.yaml')
  }

  get workers(): string {
    return join(this.directory, 'workers')
  }

  read(): readonly ServerProcess[] {
    return readProcesses([this.shared], this.workers)
  }

  /** A port for a proxy in front of it. */
  freePort(): Promise<number> {
    return findFreePort()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.stubs.values()].map((stub) => stub.close()))
    rmSync(this.directory, { recursive: true, force: true })
  }
}
