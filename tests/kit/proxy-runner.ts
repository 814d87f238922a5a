import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { StubAnswer } from './stub-process.ts'

export type ProxyKind = 'nginx' | 'haproxy'

const START_TIMEOUT_MS = 20_000
const TEMP_FOLDERS = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']

/** What came back through a proxy. */
export interface ProxyResponse {
  readonly status: number
  /** The process that answered; undefined when the proxy did. */
  readonly process: string | undefined
  readonly text: string
  readonly answer: StubAnswer | undefined
}

/** A real proxy with a configuration under test. */
export class RunningProxy {
  readonly #child: ChildProcess
  readonly #directory: string
  readonly #port: number
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 16 })

  private constructor(child: ChildProcess, options: { directory: string; port: number }) {
    this.#child = child
    this.#directory = options.directory
    this.#port = options.port
  }

  /** Starts it and waits until it answers. Throws with what it complained about. */
  static async start(kind: ProxyKind, config: string, port: number): Promise<RunningProxy> {
    const directory = mkdtempSync(join(tmpdir(), 'ganglion-proxy-'))
    chmodSync(directory, 0o755)
    const file = join(directory, 'proxy.conf')
    writeFileSync(file, kind === 'nginx' ? useTemporaryFolders(config, directory) : config)
    const user = process.getuid?.() === 0 ? ' user root;' : ''
    const [command, args] =
      kind === 'nginx'
        ? ['nginx', ['-p', directory, '-c', file, '-g', `daemon off; pid ${join(directory, 'pid')}; error_log stderr;${user}`]]
        : ['haproxy', ['-db', '-f', file]]
    const child = spawn(command, args as string[], { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
    const proxy = new RunningProxy(child, { directory, port })
    const deadline = performance.now() + START_TIMEOUT_MS
    for (;;) {
      if (child.exitCode !== null || performance.now() > deadline) throw new Error(`${kind} did not start: ${output}`)
      try {
        if ((await proxy.send('GET', '/_matrix/client/versions')).status === 200) return proxy
      } catch (error) {
        if (!(error instanceof Error && 'code' in error)) throw error
      }
      await sleep(50)
    }
  }

  /** Sends a request. `from` is the address it seems to come from, of 127.0.0.0/8. Of a body that is only announced nothing follows. */
  send(
    method: string,
    path: string,
    options: { headers?: Record<string, string>; from?: string; body?: Buffer; announcedBytes?: number } = {},
  ): Promise<ProxyResponse> {
    return new Promise((resolve, reject) => {
      const { announcedBytes, from } = options
      const length = announcedBytes ?? options.body?.length
      const outgoing = request({
        host: '127.0.0.1',
        port: this.#port,
        method,
        path,
        headers: { ...options.headers, ...(length === undefined ? {} : { 'content-length': String(length) }) },
        ...(from === undefined && announcedBytes === undefined ? { agent: this.#agent } : { agent: false as const }),
        ...(from === undefined ? {} : { localAddress: from }),
      })
      outgoing.once('error', reject)
      outgoing.once('response', (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => (text += chunk.toString()))
        response.once('error', reject)
        response.once('end', () => {
          if (announcedBytes !== undefined) outgoing.destroy()
          const name = response.headers['x-process']
          const process = typeof name === 'string' ? name : undefined
          const answer = process === undefined || text === '' ? undefined : (JSON.parse(text) as StubAnswer)
          resolve({ status: response.statusCode ?? 0, process, text, answer })
        })
      })
      if (announcedBytes === undefined) outgoing.end(options.body)
      else outgoing.flushHeaders()
    })
  }

  async stop(): Promise<void> {
    this.#agent.destroy()
    if (this.#child.exitCode === null) {
      const gone = new Promise((resolve) => this.#child.once('exit', resolve))
      this.#child.kill('SIGTERM')
      await gone
    }
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

/** The built-in folders belong to the system's nginx, and often to root. */
function useTemporaryFolders(config: string, directory: string): string {
  const paths = TEMP_FOLDERS.map((name) => `${name}_temp_path ${join(directory, name)};`).join('\n')
  return config.replace('http {\n', `http {\n${paths}\n`)
}
