import pg from 'pg'
import type { DatabaseOptions } from './database.ts'

const CONNECT_TIMEOUT_MS = 5000
const QUERY_TIMEOUT_MS = 10_000
const RETRY_MS_MIN = 100
const RETRY_MS_MAX = 5000
/** PostgreSQL takes less than 8000 bytes. */
export const NOTIFY_BYTES_MAX = 7900

/**
 * Hears and sends NOTIFY of one channel on a connection of its own, which must be a direct one (not behind a pooler in transaction
 * mode). A lost connection is made again; what was said meanwhile is lost. One channel name belongs to one database.
 */
export class DatabaseChannel {
  readonly #options: DatabaseOptions
  readonly #channel: string
  readonly #onMessage: (payload: string) => void
  readonly #onListening: () => void
  readonly #onError: (error: unknown) => void
  #client: pg.Client | undefined
  #retryTimer: NodeJS.Timeout | undefined
  #retryMs = RETRY_MS_MIN
  #isStopped = true

  constructor(deps: {
    options: DatabaseOptions
    /** Letters, digits and underscores. */
    channel: string
    onMessage: (payload: string) => void
    /** Called each time that the channel is heard (again): what came before may have been missed. */
    onListening: () => void
    onError: (error: unknown) => void
  }) {
    this.#options = deps.options
    this.#channel = deps.channel
    this.#onMessage = deps.onMessage
    this.#onListening = deps.onListening
    this.#onError = deps.onError
  }

  get isListening(): boolean {
    return this.#client !== undefined
  }

  /** Tries once; after a failure it goes on trying by itself. */
  async start(): Promise<void> {
    this.#isStopped = false
    await this.#connect()
  }

  async #connect(): Promise<void> {
    const { max: _max, ...connection } = this.#options
    const client = new pg.Client({
      ...connection,
      application_name: 'ganglion notify',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: QUERY_TIMEOUT_MS,
      keepAlive: true,
    })
    let isOver = false
    const over = (error?: Error): void => {
      if (isOver) return
      isOver = true
      if (this.#client === client) this.#client = undefined
      if (this.#isStopped) return
      if (error) this.#onError(error)
      this.#retryTimer = setTimeout(() => void this.#connect(), this.#retryMs)
      this.#retryMs = Math.min(2 * this.#retryMs, RETRY_MS_MAX)
    }
    client.on('error', over)
    client.on('end', () => over())
    client.on('notification', ({ payload }) => this.#onMessage(payload ?? ''))
    try {
      await client.connect()
      await client.query(`SET idle_session_timeout = 0; LISTEN ${pg.escapeIdentifier(this.#channel)}`)
    } catch (error) {
      over(error as Error)
      await client.end().catch(() => undefined)
      return
    }
    if (isOver) return
    if (this.#isStopped) {
      await client.end()
      return
    }
    this.#client = client
    this.#retryMs = RETRY_MS_MIN
    this.#onListening()
  }

  /** Sends messages in one transaction, to the sender too. Rejects where there is no connection, and when they got lost. */
  async notify(payloads: readonly string[]): Promise<void> {
    if (!this.#client) throw new Error('There is no connection for NOTIFY')
    await this.#client.query('SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload', [this.#channel, payloads])
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#retryTimer)
    const client = this.#client
    this.#client = undefined
    await client?.end().catch(this.#onError)
  }
}
