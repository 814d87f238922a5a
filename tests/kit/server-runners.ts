import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseConfig } from '../../src/config/config.ts'
import { startServer } from '../../src/process/main.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { environmentVariable, repositoryPath } from './environment.ts'
import { TestLogger } from './test-logger.ts'

export interface RunningTestServer {
  readonly baseUrl: string
  readonly pid?: number
  stop(): Promise<void>
  kill?(): Promise<void>
}

export interface LaunchSettings {
  readonly config: Readonly<Record<string, unknown>>
  readonly directory: string
  readonly databaseOptions: DatabaseOptions
  /** 0 for any free one. */
  readonly port: number
  /** Listens there for other servers too, with TLS. */
  readonly federationPort?: number
}

export type ServerRunner = (settings: LaunchSettings) => Promise<RunningTestServer>

const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 15_000

/** Starts the server in this process. */
export async function runHere(settings: LaunchSettings): Promise<RunningTestServer> {
  const config = parseConfig(fileConfig(settings))
  const server = await startServer({ config, logger: new TestLogger(), databaseOptions: settings.databaseOptions })
  const [baseUrl] = server.addresses
  if (baseUrl === undefined) throw new Error('The server listens nowhere')
  return { baseUrl: baseUrl.replace(/\/$/, ''), stop: () => server.stop() }
}

/** Starts `bin/ganglion homeserver` with a configuration file, and waits until it says where it listens. */
export async function runInChild(settings: LaunchSettings): Promise<RunningTestServer> {
  const file = join(settings.directory, 'homeserver.yaml')
  // YAML reads JSON as it is.
  await writeFile(file, JSON.stringify(fileConfig(settings), undefined, 2))
  const child = spawn(repositoryPath('bin/ganglion'), ['homeserver', '-c', file], { stdio: ['ignore', 'pipe', 'pipe'] })
  const output = collectOutput(child)
  const baseUrl = await waitForAddress(child, output)
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(signal)
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await exited
    clearTimeout(timer)
  }
  return {
    baseUrl,
    ...(child.pid === undefined ? {} : { pid: child.pid }),
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
  }
}

function fileConfig(settings: LaunchSettings): Record<string, unknown> {
  const { host, port, user, password, database } = settings.databaseOptions
  return {
    listeners: [
      {
        port: settings.port,
        type: 'http',
        bind_addresses: ['127.0.0.1'],
        resources: [{ names: ['client', 'media', 'federation', 'consent'] }],
      },
      ...(settings.federationPort === undefined ? [] : [federationListener(settings.federationPort)]),
    ],
    database: {
      name: 'psycopg2',
      args: { host, user, database, ...(port === undefined ? {} : { port }), ...(password === undefined ? {} : { password }) },
    },
    ...settings.config,
  }
}

function federationListener(port: number): Record<string, unknown> {
  return { port, type: 'http', tls: true, bind_addresses: ['127.0.0.1'], resources: [{ names: ['federation'] }] }
}

function collectOutput(child: ChildProcess): { text: string } {
  const output = { text: '' }
  const isLoud = environmentVariable('GANGLION_TEST_LOG') !== undefined
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      output.text = (output.text + chunk).slice(-100_000)
      if (isLoud) process.stderr.write(chunk)
    })
  }
  return output
}

async function waitForAddress(child: ChildProcess, output: { text: string }): Promise<string> {
  const deadline = performance.now() + START_TIMEOUT_MS
  while (performance.now() < deadline) {
    const found = /listening on (http:\/\/\S+)/.exec(output.text)
    if (found?.[1] !== undefined) return found[1].replace(/\/$/, '')
    if (child.exitCode !== null || child.signalCode !== null) break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  child.kill('SIGKILL')
  throw new Error(`The server did not start:\n${output.text}`)
}
