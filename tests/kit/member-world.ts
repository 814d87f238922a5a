import { randomUUID } from 'node:crypto'
import { HttpServer } from '../../src/http/http-server.ts'
import { serveMemberMethods } from '../../src/replication/member-methods.ts'
import { Members } from '../../src/replication/members.ts'
import type { MemberTimes } from '../../src/replication/members.ts'
import { RoleLeases } from '../../src/replication/role-leases.ts'
import type { LeaseTimes } from '../../src/replication/role-turns.ts'
import { RpcClient } from '../../src/replication/rpc-client.ts'
import { RpcServer } from '../../src/replication/rpc-server.ts'
import type { ControlHandler, ControlMessage } from '../../src/replication/transport.ts'
import { Database } from '../../src/storage/database.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { systemClock } from '../../src/util/clock.ts'
import { openCuttableProxy } from './cuttable-proxy.ts'
import type { CuttableProxy } from './cuttable-proxy.ts'
import { TestLogger } from './test-logger.ts'

/** What the members of tests prove themselves with. */
export const TEST_SECRET = 'a secret between processes'
export const TEST_MEMBER_TIMES: MemberTimes = { heartbeatMs: 300, ttlMs: 1500, pollMs: 300, rivalWaitMs: 500, lockCheckMs: 200 }
export const TEST_LEASE_TIMES: LeaseTimes = {
  ttlMs: 2000,
  renewMs: 400,
  marginMs: 500,
  pollMs: 150,
  stepMs: 300,
  startGraceMs: 0,
  stopMs: 1000,
  retryMs: 500,
}

/** Carries control messages between the members of one test. */
export class ControlBus {
  readonly #handlers = new Map<string, ControlHandler[]>()
  isSilent = false

  channel(name: string): { publishControl(message: ControlMessage): void; onControl(handler: ControlHandler): void } {
    const own: ControlHandler[] = []
    this.#handlers.set(name, own)
    return {
      publishControl: (message) => {
        if (this.isSilent) return
        for (const [other, handlers] of this.#handlers)
          if (other !== name) for (const handler of handlers) setImmediate(() => handler(message))
      },
      onControl: (handler) => void own.push(handler),
    }
  }
}

/** What happened to the work of roles, in its order: for each role, who began and ended it under which epoch. */
export interface WorkEntry {
  readonly what: 'start' | 'stop'
  readonly role: string
  readonly instance: string
  readonly epoch: number
}

/** One process of the cluster, as objects in the test's own. */
export interface TestMember {
  readonly instance: string
  readonly members: Members
  readonly roles: RoleLeases
  readonly rpcClient: RpcClient
  readonly rpcServer: RpcServer
  readonly database: Database
  readonly proxy: CuttableProxy
  readonly logger: TestLogger
  /** Adds a role whose work is written to the log. */
  addRole(definition: { name: string; preferred: readonly string[]; shards?: number; startFails?: () => boolean }): void
  start(): Promise<void>
  /** Cuts it from PostgreSQL and from the others without notice. It does not know, and goes on: a zombie. */
  kill(): Promise<void>
  stop(): Promise<void>
}

/** A cluster of members on one database. */
export class MemberWorld {
  readonly bus = new ControlBus()
  readonly work: WorkEntry[] = []
  readonly #options: DatabaseOptions
  readonly #open: TestMember[] = []

  constructor(options: DatabaseOptions) {
    this.#options = options
  }

  /** Makes a member, with a replication listener on a free port. */
  async make(
    instance: string,
    times: { members?: Partial<MemberTimes>; leases?: Partial<LeaseTimes> } = {},
  ): Promise<TestMember> {
    const logger = new TestLogger()
    const proxy = await openCuttableProxy(this.#options)
    const database = new Database({ ...proxy.options, max: 4 }, { onError: () => {} })
    const rpcServer = new RpcServer({ secret: TEST_SECRET, logger })
    const http = new HttpServer({ isForwarded: false, onInternalError: () => {} }, rpcServer.endpoints, undefined)
    const url = await http.listen({ host: '127.0.0.1', port: 0 })
    const transport = this.bus.channel(`${instance} ${randomUUID()}`)
    const self = { instance, boot: randomUUID(), url, roles: [], version: '1', schema: 20, configHash: 'c' }
    const common = { database, clock: systemClock, logger, transport }
    const members = new Members({ ...common, connection: proxy.options, self, times: { ...TEST_MEMBER_TIMES, ...times.members } })
    const rpcClient = new RpcClient({ members, server: rpcServer, clock: systemClock, secret: TEST_SECRET })
    const roles = new RoleLeases({ ...common, members, rpcClient, rpcServer, times: { ...TEST_LEASE_TIMES, ...times.leases } })
    serveMemberMethods(rpcServer, members)
    const epochs = new Map<string, number>()
    const { work } = this
    const member: TestMember = {
      instance,
      members,
      roles,
      rpcClient,
      rpcServer,
      database,
      proxy,
      logger,
      addRole({ startFails, ...definition }) {
        roles.add({
          ...definition,
          async start({ role, epoch }) {
            if (startFails?.() === true) throw new Error('the work cannot start')
            epochs.set(role, epoch)
            work.push({ what: 'start', role, instance, epoch })
          },
          async stop(shard) {
            const role = definition.shards === undefined ? definition.name : `${definition.name}:${shard}`
            const epoch = epochs.get(role)
            if (epoch !== undefined) work.push({ what: 'stop', role, instance, epoch })
            epochs.delete(role)
          },
        })
      },
      async start() {
        await members.start()
        await roles.start()
      },
      async kill() {
        proxy.cut()
        await http.close()
      },
      async stop() {
        await roles.stop()
        await rpcClient.close()
        await members.stop().catch(() => undefined)
        await database.close().catch(() => undefined)
        await http.close()
        await proxy.close()
      },
    }
    this.#open.push(member)
    return member
  }

  /** Makes members and starts them together. */
  async startAll(instances: readonly string[], add: (member: TestMember) => void = () => {}): Promise<TestMember[]> {
    const made = await Promise.all(instances.map((instance) => this.make(instance)))
    for (const member of made) add(member)
    await Promise.all(made.map((member) => member.start()))
    return made
  }

  async stopAll(): Promise<void> {
    await Promise.allSettled(this.#open.map((member) => member.stop()))
  }
}
