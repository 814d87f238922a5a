import { createConnection, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import type { SeededRandom } from '../fuzz/seeded-random.ts'

/** How likely it is that a message to a subscriber gets lost, comes twice, or comes late and so out of order. */
export interface FrameFaults {
  readonly dropped: number
  readonly doubled: number
  readonly late: number
  readonly lateMsMax: number
}

const CRLF = Buffer.from('\r\n')
const ASTERISK = 0x2a
const DOLLAR = 0x24

/**
 * Stands between processes and Redis, on a Unix socket. It knows where one reply of Redis ends and the next one begins, and
 * mistreats those replies that are messages to subscribers; everything else passes as it is.
 */
export class RedisProxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #random: SeededRandom
  #faults: FrameFaults | undefined
  /** Messages mistreated so far. */
  mistreated = 0

  private constructor(upstreamPath: string, random: SeededRandom) {
    this.#random = random
    this.#server = createServer((client) => this.#connect(client, upstreamPath))
  }

  static async open(options: { path: string; upstreamPath: string; random: SeededRandom }): Promise<RedisProxy> {
    const proxy = new RedisProxy(options.upstreamPath, options.random)
    await new Promise<void>((resolve) => proxy.#server.listen(options.path, resolve))
    return proxy
  }

  /** Begins to mistreat messages, or, without faults, ends it. */
  setFaults(faults: FrameFaults | undefined): void {
    this.#faults = faults
  }

  #connect(client: Socket, upstreamPath: string): void {
    const upstream = createConnection({ path: upstreamPath })
    client.pipe(upstream)
    const splitter = new ReplySplitter()
    upstream.on('data', (chunk: Buffer) => {
      for (const reply of splitter.take(chunk)) this.#passOn(client, reply)
    })
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        this.#sockets.delete(socket)
        other.destroy()
      })
    }
  }

  #passOn(client: Socket, reply: Buffer): void {
    const faults = this.#faults
    if (faults === undefined || !isMessage(reply)) {
      client.write(reply)
      return
    }
    const dice = this.#random.next()
    if (dice < faults.dropped) {
      this.mistreated++
      return
    }
    if (dice < faults.dropped + faults.doubled) {
      this.mistreated++
      client.write(reply)
    }
    if (this.#random.chance(faults.late)) {
      this.mistreated++
      setTimeout(() => client.writable && client.write(reply), this.#random.below(faults.lateMsMax)).unref()
    } else client.write(reply)
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

/** Cuts what Redis sends (RESP2) into whole replies. */
export class ReplySplitter {
  #rest: Buffer = Buffer.alloc(0)

  take(chunk: Buffer): Buffer[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const replies: Buffer[] = []
    let start = 0
    for (let end = endOfReply(bytes, start); end !== undefined; end = endOfReply(bytes, start)) {
      replies.push(bytes.subarray(start, end))
      start = end
    }
    this.#rest = bytes.subarray(start)
    return replies
  }
}

/** Where the reply that begins at `start` ends; undefined when there is more to come. */
function endOfReply(bytes: Buffer, start: number): number | undefined {
  const lineEnd = bytes.indexOf(CRLF, start)
  if (lineEnd === -1) return undefined
  const after = lineEnd + CRLF.length
  const kind = bytes[start]
  if (kind !== ASTERISK && kind !== DOLLAR) return after
  const length = Number(bytes.toString('latin1', start + 1, lineEnd))
  // Null.
  if (length < 0) return after
  if (kind === DOLLAR) return after + length + CRLF.length <= bytes.length ? after + length + CRLF.length : undefined
  let at: number | undefined = after
  for (let index = 0; index < length && at !== undefined; index++) at = endOfReply(bytes, at)
  return at
}

function isMessage(reply: Buffer): boolean {
  return reply[0] === ASTERISK && reply.subarray(0, 32).includes('\r\n$7\r\nmessage\r\n')
}
