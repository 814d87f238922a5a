import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import type { RedisSettings } from '../../src/replication/redis-settings.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { eventually, startReplicationProcess } from '../kit/replication-process.ts'
import type { ReplicationProcess } from '../kit/replication-process.ts'
import { testAuthority } from '../kit/test-authority.ts'
import { createTestDatabase, dropTestDatabase } from '../kit/test-postgres.ts'
import { findFreePort, startTestRedis } from '../kit/test-redis.ts'

/** A node alone does not know its own address; in a real cluster it learns it from the others. */
const CLUSTER_OF_ONE = ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-announce-ip', '127.0.0.1']

describe('Ways to reach Redis', () => {
  let options: DatabaseOptions
  let processes: ReplicationProcess[] = []

  const startTwo = async (settings: RedisSettings): Promise<[ReplicationProcess, ReplicationProcess]> => {
    const two = await Promise.all(['one', 'two'].map((name) => startReplicationProcess(options, name, { redis: settings })))
    processes.push(...two)
    return two as [ReplicationProcess, ReplicationProcess]
  }

  const expectWorking = async ([one, two]: [ReplicationProcess, ReplicationProcess]): Promise<void> => {
    await eventually(() => one.transport.mode === 'redis' && two.transport.mode === 'redis', 'Redis is in use')
    const before = two.hub.stats.pagesRead
    for (let i = 0; i < 10; i++) await one.write(`k${i}`)
    await eventually(() => two.seen.length === 10, 'rows arrive')
    expect(two.seen).toEqual(one.seen)
    expect(two.hub.stats.pagesRead).toBe(before)
  }

  beforeEach(async () => {
    options = await createTestDatabase(inject('postgres'), `replication_${randomBytes(6).toString('hex')}`)
  })

  afterEach(async () => {
    await Promise.all(processes.map((process) => process.stop()))
    processes = []
    await dropTestDatabase(options, options.database)
  })

  it('a Unix socket, with a number of the database', async () => {
    const redis = await startTestRedis()
    try {
      await expectWorking(await startTwo({ host: 'unused.invalid', port: 1, path: redis.socketPath, db: 3 }))
    } finally {
      await redis.stop()
    }
  })

  it('a user with a password who may do nothing but publish and subscribe to our channels', async () => {
    const redis = await startTestRedis()
    const admin = new Redis({ host: '127.0.0.1', port: redis.port, protocol: 2 })
    const rights = ['resetchannels', '&hs.test/*', '-@all', '+@connection', '+@pubsub', '+info']
    await admin.call('ACL', 'SETUSER', 'ganglion', 'on', '>secret', ...rights)
    admin.disconnect()
    try {
      await expectWorking(await startTwo({ host: '127.0.0.1', port: redis.port, username: 'ganglion', password: 'secret' }))
    } finally {
      await redis.stop()
    }
  })

  it('with a wrong password, rows go through PostgreSQL', async () => {
    const redis = await startTestRedis(['--requirepass', 'right'])
    try {
      const [one, two] = await startTwo({ host: '127.0.0.1', port: redis.port, password: 'wrong' })
      expect(one.transport.mode).toBe('postgres')
      await one.write('k')
      await eventually(() => two.seen.includes('k'), 'the row arrives', 4000)
    } finally {
      await redis.stop()
    }
  })

  it('TLS, with certificates of both sides (WO-09, W-26)', async () => {
    const { caPath, ca, localhost } = await testAuthority()
    const tlsPort = await findFreePort()
    const files = ['--tls-ca-cert-file', caPath, '--tls-cert-file', localhost.certPath, '--tls-key-file', localhost.keyPath]
    const redis = await startTestRedis(['--tls-port', String(tlsPort), ...files])
    try {
      const tls = { ca: [ca], cert: localhost.cert, key: localhost.key }
      await expectWorking(await startTwo({ host: 'localhost', port: tlsPort, tls }))
    } finally {
      await redis.stop()
    }
  })

  it('a cluster, with sharded channels', async () => {
    const redis = await startTestRedis(CLUSTER_OF_ONE)
    const admin = new Redis({ host: '127.0.0.1', port: redis.port, protocol: 2 })
    try {
      await admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
      while (!String(await admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok')) await admin.ping()
      await expectWorking(await startTwo({ host: 'unused.invalid', port: 1, cluster: [{ host: '127.0.0.1', port: redis.port }] }))
    } finally {
      admin.disconnect()
      await redis.stop()
    }
  })

  it('Sentinels that say where Redis is (N-05)', async () => {
    const redis = await startTestRedis()
    const directory = await mkdtemp(join(tmpdir(), 'ganglion-sentinel-'))
    const port = await findFreePort()
    const file = join(directory, 'sentinel.conf')
    await writeFile(file, `port ${port}\nbind 127.0.0.1\ndir ${directory}\nsentinel monitor hs 127.0.0.1 ${redis.port} 1\n`)
    const sentinel = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' })
    try {
      const settings = { host: 'unused.invalid', port: 1, sentinels: [{ host: '127.0.0.1', port }], sentinelName: 'hs' }
      await expectWorking(await startTwo(settings))
    } finally {
      const ended = once(sentinel, 'exit')
      sentinel.kill('SIGKILL')
      await ended
      await redis.stop()
      await rm(directory, { recursive: true, force: true })
    }
  })
})
