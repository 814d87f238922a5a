import type { ConnectionOptions } from 'node:tls'
import { Cluster, Redis } from 'ioredis'
import type { RedisOptions } from 'ioredis'
import type { RedisSettings } from './redis-settings.ts'

const CONNECT_TIMEOUT_MS = 2000
const RETRY_MS_MAX = 1000
const CLOSE_TIMEOUT_MS = 500

type ServerOptions = Omit<RedisOptions, 'replyMapping'>

interface LinkEvents {
  /** Every channel is subscribed to, again after each reconnection. */
  readonly onReady: () => void
  readonly onDown: () => void
  readonly onMessage: (channel: string, text: string) => void
  readonly onError: (error: unknown) => void
}

/** Publishes to Redis and listens to channels there: one server, one that Sentinels know, or a cluster. */
export interface RedisLink {
  readonly isReady: boolean
  /** Begins to connect, and goes on until `close`. */
  open(): void
  /** Rejects at once while Redis is away, and when it goes away before it has answered. */
  publish(channel: string, text: string): Promise<unknown>
  close(): Promise<void>
}

/** Makes the link that the settings ask for. */
export function makeRedisLink(settings: RedisSettings, channels: readonly string[], events: LinkEvents): RedisLink {
  return settings.cluster ? new ClusterLink(settings, channels, events) : new ServerLink(settings, channels, events)
}

/** A connection for commands, besides those of the streams. */
export type RedisCommands = Redis | Cluster

/** Makes a connection for commands, which begins to connect at once. A command fails at once while Redis is away. */
export function makeRedisCommands(settings: RedisSettings, onError: (error: unknown) => void): RedisCommands {
  const client = settings.cluster ? makeCluster(settings, false) : new Redis(serverOptions(settings))
  client.on('error', onError)
  client.connect().catch(onError)
  return client
}

/** Two connections: one that has subscribed can do nothing else. */
class ServerLink implements RedisLink {
  readonly #publisher: Redis
  readonly #subscriber: Redis
  readonly #events: LinkEvents
  #isSubscribed = false

  constructor(settings: RedisSettings, channels: readonly string[], events: LinkEvents) {
    this.#events = events
    const options = serverOptions(settings)
    this.#publisher = new Redis(options)
    this.#subscriber = new Redis(options)
    this.#publisher.on('error', events.onError)
    this.#subscriber.on('error', events.onError)
    this.#publisher.on('ready', () => this.#noteReady())
    this.#publisher.on('close', () => events.onDown())
    this.#subscriber.on('close', () => {
      this.#isSubscribed = false
      events.onDown()
    })
    this.#subscriber.on('message', events.onMessage)
    this.#subscriber.on('ready', () => {
      this.#subscriber.subscribe(...channels).then(() => {
        this.#isSubscribed = true
        this.#noteReady()
      }, events.onError)
    })
  }

  get isReady(): boolean {
    return this.#isSubscribed && this.#publisher.status === 'ready'
  }

  #noteReady(): void {
    if (this.isReady) this.#events.onReady()
  }

  open(): void {
    for (const client of [this.#publisher, this.#subscriber]) client.connect().catch(this.#events.onError)
  }

  publish(channel: string, text: string): Promise<unknown> {
    return this.#publisher.publish(channel, text)
  }

  async close(): Promise<void> {
    if (this.#publisher.status === 'ready') await quitSoon(this.#publisher)
    this.#publisher.disconnect()
    this.#subscriber.disconnect()
  }
}

/** In a cluster a plain message goes to every node. Sharded channels (Redis 7) live on one node each. */
class ClusterLink implements RedisLink {
  readonly #cluster: Cluster
  readonly #events: LinkEvents
  #isSubscribed = false

  constructor(settings: RedisSettings, channels: readonly string[], events: LinkEvents) {
    this.#events = events
    this.#cluster = makeCluster(settings, true)
    this.#cluster.on('error', events.onError)
    this.#cluster.on('node error', events.onError)
    this.#cluster.on('close', () => {
      this.#isSubscribed = false
      events.onDown()
    })
    this.#cluster.on('smessage', events.onMessage)
    this.#cluster.on('ready', () => {
      // One by one: they belong to different slots.
      Promise.all(channels.map((channel) => this.#cluster.ssubscribe(channel))).then(() => {
        this.#isSubscribed = true
        events.onReady()
      }, events.onError)
    })
  }

  get isReady(): boolean {
    return this.#isSubscribed && this.#cluster.status === 'ready'
  }

  open(): void {
    this.#cluster.connect().catch(this.#events.onError)
  }

  publish(channel: string, text: string): Promise<unknown> {
    return this.#cluster.spublish(channel, text)
  }

  async close(): Promise<void> {
    if (this.isReady) await quitSoon(this.#cluster)
    this.#cluster.disconnect()
  }
}

function makeCluster(settings: RedisSettings, shardedSubscribers: boolean): Cluster {
  const options = {
    lazyConnect: true,
    shardedSubscribers,
    enableOfflineQueue: false,
    clusterRetryStrategy: retryAfterMs,
    redisOptions: {
      protocol: 2 as const,
      connectTimeout: CONNECT_TIMEOUT_MS,
      username: settings.username,
      password: settings.password,
      ...tlsOf(settings),
    },
  }
  return new Cluster(
    (settings.cluster ?? []).map(({ host, port }) => ({ host, port })),
    options,
  )
}

function serverOptions(settings: RedisSettings): ServerOptions {
  const common: ServerOptions = {
    lazyConnect: true,
    protocol: 2,
    connectTimeout: CONNECT_TIMEOUT_MS,
    // A message that waits for Redis is worth nothing: the row is in PostgreSQL, and others learn of it another way.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    retryStrategy: retryAfterMs,
    username: settings.username,
    password: settings.password,
    db: settings.db,
    ...tlsOf(settings),
  }
  const { tls } = tlsOf(settings)
  if (settings.sentinels) {
    return {
      ...common,
      sentinels: settings.sentinels.map(({ host, port }) => ({ host, port })),
      name: settings.sentinelName,
      sentinelUsername: settings.sentinelUsername,
      sentinelPassword: settings.sentinelPassword,
      sentinelRetryStrategy: retryAfterMs,
      failoverDetector: true,
      ...(tls === undefined ? {} : { enableTLSForSentinelMode: true, sentinelTLS: tls }),
    }
  }
  return settings.path === undefined
    ? { ...common, host: settings.host, port: settings.port }
    : { ...common, path: settings.path }
}

function tlsOf({ tls }: RedisSettings): { tls?: ConnectionOptions } {
  if (!tls) return {}
  const { ca, ...own } = tls
  return { tls: { ...own, ...(ca ? { ca: [...ca] } : {}) } }
}

function retryAfterMs(times: number): number {
  return Math.min(50 * times, RETRY_MS_MAX)
}

/** Lets what was written go out; not longer than half a second. */
async function quitSoon(client: Redis | Cluster): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  await Promise.race([
    client.quit().catch(() => undefined),
    new Promise((resolve) => (timer = setTimeout(resolve, CLOSE_TIMEOUT_MS))),
  ])
  clearTimeout(timer)
}
