import { randomUUID } from 'node:crypto'
import { LocalTransport } from '../../src/replication/local-transport.ts'
import { Members } from '../../src/replication/members.ts'
import { RoleLeases } from '../../src/replication/role-leases.ts'
import { RpcClient } from '../../src/replication/rpc-client.ts'
import { RpcServer } from '../../src/replication/rpc-server.ts'
import { Database, sqlState } from '../../src/storage/database.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { advanceCursor } from '../../src/storage/tables/consumer-cursors.ts'
import { systemClock } from '../../src/util/clock.ts'
import { TEST_LEASE_TIMES, TEST_MEMBER_TIMES, TEST_SECRET } from './member-world.ts'
import { TestLogger } from './test-logger.ts'

/**
 * A process of its own that is a member and wants the role `stats`, for tests that kill and stop it. While it holds the role it
 * moves a cursor on, with no look at its lease: what a zombie would do. Writes a line of JSON for each thing that happens.
 */
const { options, instance } = JSON.parse(process.argv[2] ?? '') as { options: DatabaseOptions; instance: string }
const tell = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`)
const logger = new TestLogger()
const database = new Database({ ...options, max: 4 }, { onError: () => {} })
const rpcServer = new RpcServer({ secret: TEST_SECRET, logger })
const common = { database, clock: systemClock, logger, transport: new LocalTransport() }
const self = { instance, boot: randomUUID(), url: undefined, roles: [], version: '1', schema: 20, configHash: 'c' }
const members = new Members({ ...common, connection: options, self, times: TEST_MEMBER_TIMES })
const rpcClient = new RpcClient({ members, server: rpcServer, clock: systemClock, secret: TEST_SECRET })
const roles = new RoleLeases({ ...common, members, rpcClient, rpcServer, times: TEST_LEASE_TIMES })
let pos = 0
roles.add({
  name: 'stats',
  preferred: ['worker1'],
  async start({ epoch }) {
    tell({ what: 'start', epoch })
    const write = async (): Promise<void> => {
      try {
        for (;;) {
          await advanceCursor(database, { consumer: 'stats', stream: 1, pos: ++pos, epoch })
          await new Promise((resolve) => setTimeout(resolve, 5))
        }
      } catch (error) {
        tell({ what: 'refused', epoch, code: sqlState(error) })
      }
    }
    void write()
  },
  async stop() {
    tell({ what: 'stop' })
  },
})
await members.start()
await roles.start()
