import { randomBytes } from 'node:crypto'
import { inject } from 'vitest'
import { Database } from '../../src/storage/database.ts'
import { getLaneHeads } from '../../src/storage/tables/streams.ts'
import { LaneCommitter } from '../../src/streams/lane-committer.ts'
import { StreamHub } from '../../src/streams/stream-hub.ts'
import type { StreamName } from '../../src/streams/streams.ts'
import { createTestDatabase, dropTestDatabase } from './test-postgres.ts'

/** A database of its own with streams on it, for tests of single services. */
export interface TestStreams extends AsyncDisposable {
  readonly database: Database
  readonly hub: StreamHub
  committer<Name extends StreamName>(stream: Name): LaneCommitter<Name>
}

/** Makes a migrated database and a hub at its heads. */
export async function startTestStreams(): Promise<TestStreams> {
  const options = await createTestDatabase(inject('postgres'), `test_${randomBytes(6).toString('hex')}`)
  const errors: unknown[] = []
  const database = new Database(options, { onError: (error) => errors.push(error) })
  const hub = new StreamHub({ onError: (error) => errors.push(error) })
  for (const { name, lane, head } of await getLaneHeads(database)) hub.setHead(name as StreamName, lane, head)
  return {
    database,
    hub,
    committer: (stream) => new LaneCommitter({ database, hub, stream }),
    async [Symbol.asyncDispose]() {
      hub.close()
      await database.close()
      await dropTestDatabase(options, options.database)
      if (errors.length > 0) throw new AggregateError(errors, 'The streams met errors')
    },
  }
}
