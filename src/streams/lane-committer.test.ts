import { describe, expect, it } from 'vitest'
import type { Database, Queryable } from '../storage/database.ts'
import { writeTail } from './lane-committer.ts'
import { StreamHub } from './stream-hub.ts'

/** A database where every claim draws position 1, and whatever is written fails with the given code. */
function failingDatabase(code: string): Database {
  const tx: Queryable = {
    query: (name) =>
      name === 'lane_claim'
        ? Promise.resolve([{ prev: 0, pos: [1] }] as never)
        : Promise.reject(Object.assign(new Error('failed'), { code })),
  }
  const database: Pick<Database, 'burst'> = { burst: (write) => write(tx) }
  return database as Database
}

async function headAfterFailure(code: string): Promise<number> {
  const hub = new StreamHub({ onError: () => undefined })
  const claim = { stream: 'push_rules', lane: 0, count: 1 } as const
  await expect(writeTail(failingDatabase(code), hub, claim, (tx) => [tx.query('insert', '')])).rejects.toMatchObject({ code })
  return hub.head('push_rules')
}

describe('a tail that fails', () => {
  it('tells the hub that its positions are lost, when the database refused it', async () => {
    expect(await headAfterFailure('23505')).toBe(1)
  })

  it('tells nothing when the connection was lost: it may have been committed', async () => {
    expect(await headAfterFailure('ECONNRESET')).toBe(0)
  })
})
