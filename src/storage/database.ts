import pg from 'pg'
import type { Clock } from '../util/clock.ts'

/** Runs one named statement. A name stands for exactly one text in the whole program: it is the prepared statement's name. */
export interface Queryable {
  query<Row extends object = Record<string, unknown>>(name: string, text: string, values?: readonly unknown[]): Promise<Row[]>
}

/** A transaction under way: statements queue on one connection, so several may be sent without awaiting each other. */
export interface Transaction extends Queryable {
  /** Sends what follows in this tick in one network packet. */
  cork(): void
}

export interface DatabaseOptions {
  readonly host: string
  readonly port?: number
  readonly user: string
  readonly password?: string
  readonly database: string
  /** Connections at the most; a quarter of them serve single statements. Default 16. */
  readonly max?: number
  readonly ssl?: boolean | { rejectUnauthorized?: boolean; ca?: string; cert?: string; key?: string }
}

const CONNECTIONS_DEFAULT = 16
const TRANSACTION_RETRIES_MAX = 5
const RETRY_DELAY_MS = 20
const CONNECT_TIMEOUT_MS = 10_000
const STATEMENT_TIMEOUT_MS = 60_000

// 20 = int8, 1016 = int8[]: our numbers (positions, nids, milliseconds) all fit in 2^53.
const INT8 = 20
const INT8_ARRAY = 1016
const types = {
  getTypeParser(oid: number, format?: 'text' | 'binary'): (value: string) => unknown {
    if (oid === INT8) return Number
    if (oid === INT8_ARRAY) return parseInt8Array
    return pg.types.getTypeParser(oid, format ?? 'text') as (value: string) => unknown
  },
}

function parseInt8Array(text: string): number[] {
  return text === '{}' ? [] : text.slice(1, -1).split(',').map(Number)
}

interface QueryClient {
  query(config: { name: string; text: string; values: unknown[] }): Promise<pg.QueryResult>
  connection?: { stream: { cork(): void; uncork(): void } }
}

/**
 * PostgreSQL behind two sets of pipelined connections: a few shared ones for single statements, a pool for transactions.
 * Every statement is prepared under its name. Errors keep their SQLSTATE in `code`; no message of theirs may reach a client.
 */
export class Database implements Queryable {
  readonly #options: DatabaseOptions
  readonly #transactions: pg.Pool
  readonly #shared: (Promise<pg.Client> | undefined)[]
  readonly #onError: (error: Error) => void
  /** Statements under way on each shared connection. */
  readonly #underWay: number[]
  #closed = false

  constructor(options: DatabaseOptions, deps: { onError: (error: Error) => void; clock?: Clock }) {
    const max = options.max ?? CONNECTIONS_DEFAULT
    const sharedCount = Math.max(1, Math.floor(max / 4))
    this.#options = options
    this.#onError = deps.onError
    this.#transactions = new pg.Pool({ ...this.#clientConfig(), max: Math.max(1, max - sharedCount), idleTimeoutMillis: 60_000 })
    this.#transactions.on('error', (error) => {
      // Idle connections that end while we close are no news.
      if (!this.#closed) deps.onError(error)
    })
    // The pool listens to idle connections only. One that is lost in use fails its statements, and they tell; without a
    // listener the event itself would end the process.
    this.#transactions.on('connect', (client) => void client.on('error', () => undefined))
    this.#shared = Array.from({ length: sharedCount }, () => undefined)
    this.#underWay = Array.from({ length: sharedCount }, () => 0)
  }

  #clientConfig(): pg.ClientConfig & { pipeline: boolean } {
    const { host, port, user, password, database, ssl } = this.#options
    return {
      host,
      user,
      database,
      ...(port === undefined ? {} : { port }),
      ...(password === undefined ? {} : { password }),
      ...(ssl === undefined ? {} : { ssl }),
      types,
      pipeline: true,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      lock_timeout: 15_000,
      idle_in_transaction_session_timeout: 30_000,
      application_name: 'ganglion',
    } as pg.ClientConfig & { pipeline: boolean }
  }

  /** Runs one statement outside any transaction, on a shared connection. */
  async query<Row extends object = Record<string, unknown>>(
    name: string,
    text: string,
    values: readonly unknown[] = [],
  ): Promise<Row[]> {
    if (this.#closed) throw new Error('The database is closed')
    // The least busy connection, the first of equals: a quiet server prepares its statements once, not on every connection.
    let slot = 0
    for (let index = 1; index < this.#underWay.length; index++)
      if ((this.#underWay[index] as number) < (this.#underWay[slot] as number)) slot = index
    this.#underWay[slot] = (this.#underWay[slot] as number) + 1
    try {
      const client = await (this.#shared[slot] ??= this.#connectShared(slot))
      const result = await client.query({ name, text, values: values as unknown[] })
      return result.rows as Row[]
    } finally {
      this.#underWay[slot] = (this.#underWay[slot] as number) - 1
    }
  }

  async #connectShared(slot: number): Promise<pg.Client> {
    const client = new pg.Client(this.#clientConfig())
    const forget = (error?: Error): void => {
      this.#shared[slot] = undefined
      if (error && !this.#closed) this.#onError(error)
    }
    client.on('error', forget)
    client.on('end', () => forget())
    try {
      await client.connect()
    } catch (error) {
      this.#shared[slot] = undefined
      throw error
    }
    return client
  }

  /**
   * Runs `work` in one READ COMMITTED transaction. The whole of it is tried again on serialisation failures, deadlocks
   * and connections lost before COMMIT was sent, so `work` must have no effect outside the database.
   */
  async transaction<T>(name: string, work: (tx: Transaction) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const state = { committing: false }
      try {
        return await this.#attempt(work, state)
      } catch (error) {
        if (attempt >= TRANSACTION_RETRIES_MAX || state.committing || !isRetryable(error)) {
          throw error instanceof Error ? Object.assign(error, { transaction: name }) : error
        }
        await new Promise((resolve) => setTimeout(resolve, RETRY_DELAY_MS * attempt))
      }
    }
  }

  async #attempt<T>(work: (tx: Transaction) => Promise<T>, state: { committing: boolean }): Promise<T> {
    const client = await this.#transactions.connect()
    let broken: Error | undefined
    try {
      const begun = client.query('BEGIN')
      // While `work` waits for something else nobody looks at it, and Node ends the process for that.
      begun.catch(() => undefined)
      const transaction = new PooledTransaction(client)
      let result: T
      try {
        result = await work(transaction)
        await begun
      } catch (error) {
        await client.query('ROLLBACK').catch((rollbackError: Error) => (broken = rollbackError))
        throw error
      }
      state.committing = true
      const { command } = await client.query('COMMIT')
      if (command !== 'COMMIT') throw transaction.failure ?? new Error(`The transaction ended with ${command}`)
      return result
    } catch (error) {
      if (isConnectionLost(error)) broken = error as Error
      throw error
    } finally {
      client.release(broken)
    }
  }

  /**
   * Sends BEGIN, the statements that `write` issues and COMMIT in one network packet, so that a stalled event loop can not
   * hold a lock between them. `write` must issue all of its statements synchronously and await none.
   */
  async burst<T>(write: (tx: Queryable) => Promise<T>): Promise<T> {
    const client = await this.#transactions.connect()
    let broken: Error | undefined
    try {
      const stream = (client as unknown as QueryClient).connection?.stream
      stream?.cork()
      const begun = client.query('BEGIN')
      const { written, end: word } = startWriting(() => write(new PooledTransaction(client)))
      const committed = client.query(word)
      stream?.uncork()
      const [, result, end] = await Promise.allSettled([begun, written, committed])
      if (result.status === 'rejected') throw result.reason
      if (end.status === 'rejected') throw end.reason
      if (end.value.command !== 'COMMIT') throw new Error(`The transaction ended with ${end.value.command}`)
      return result.value
    } catch (error) {
      if (isConnectionLost(error)) broken = error as Error
      throw error
    } finally {
      client.release(broken)
    }
  }

  /** Closes all connections after what is under way has ended. */
  async close(): Promise<void> {
    this.#closed = true
    const clients = await Promise.allSettled(this.#shared.filter((client) => client !== undefined))
    await Promise.all([
      this.#transactions.end(),
      ...clients.map((client) => (client.status === 'fulfilled' ? client.value.end() : Promise.resolve())),
    ])
  }
}

/** Runs `write` up to its first wait. What it had sent before it threw must not be committed. */
function startWriting<T>(write: () => Promise<T>): { written: Promise<T>; end: 'COMMIT' | 'ROLLBACK' } {
  try {
    return { written: write(), end: 'COMMIT' }
  } catch (error) {
    return { written: Promise.reject(error as Error), end: 'ROLLBACK' }
  }
}

const IN_FAILED_TRANSACTION = '25P02'

class PooledTransaction implements Transaction {
  readonly #client: QueryClient
  #failure: unknown

  constructor(client: pg.PoolClient) {
    this.#client = client as unknown as QueryClient
  }

  /** What failed first. */
  get failure(): unknown {
    return this.#failure
  }

  query<Row extends object = Record<string, unknown>>(
    name: string,
    text: string,
    values: readonly unknown[] = [],
  ): Promise<Row[]> {
    const running = this.#run<Row>(name, text, values)
    // Where `work` awaits another statement first, a failure of this one is told by the COMMIT at the latest.
    running.catch(() => undefined)
    return running
  }

  async #run<Row extends object>(name: string, text: string, values: readonly unknown[]): Promise<Row[]> {
    try {
      const result = await this.#client.query({ name, text, values: values as unknown[] })
      return result.rows as Row[]
    } catch (error) {
      // Statements behind the failed one were sent already and fail for its sake: its error is the one to tell.
      if (this.#failure !== undefined && sqlState(error) === IN_FAILED_TRANSACTION) throw this.#failure
      this.#failure ??= error
      throw error
    }
  }

  cork(): void {
    const stream = this.#client.connection?.stream
    if (!stream) return
    stream.cork()
    process.nextTick(() => stream.uncork())
  }
}

/** The SQLSTATE of a database error, or the system's error code; undefined for other errors. */
export function sqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

/** Tells whether a unique constraint refused the row. */
export function isUniqueViolation(error: unknown): boolean {
  return sqlState(error) === '23505'
}

/** Tells whether the connection, not the statement, failed. */
export function isConnectionLost(error: unknown): boolean {
  const code = sqlState(error) ?? ''
  if (
    code.startsWith('08') ||
    code.startsWith('57P0') ||
    code === '25006' ||
    code === 'ECONNRESET' ||
    code === 'EPIPE' ||
    code === 'ECONNREFUSED' ||
    code === 'ENOENT'
  )
    return true
  return (
    error instanceof Error &&
    /^(Connection terminated|Client has encountered a connection error|Client was closed)/.test(error.message)
  )
}

function isRetryable(error: unknown): boolean {
  const code = sqlState(error)
  return code === '40001' || code === '40P01' || isConnectionLost(error)
}
