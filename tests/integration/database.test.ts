import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { Database } from '../../src/storage/database.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { createTestDatabase, dropTestDatabase } from '../kit/test-postgres.ts'

describe('a transaction', () => {
  let options: DatabaseOptions
  let database: Database
  const unhandled: unknown[] = []
  const note = (reason: unknown): unknown => unhandled.push(reason)

  beforeAll(async () => {
    options = await createTestDatabase(inject('postgres'), `database_${randomBytes(6).toString('hex')}`)
    database = new Database({ ...options, max: 4 }, { onError: () => {} })
    await database.query('create_probe', 'CREATE TABLE probe (value int PRIMARY KEY)')
    process.on('unhandledRejection', note)
  })
  beforeEach(() => void (unhandled.length = 0))
  afterAll(async () => {
    process.off('unhandledRejection', note)
    await database.close()
    await dropTestDatabase(options, options.database)
  })

  const insert = 'INSERT INTO probe (value) VALUES ($1)'
  const values = async (): Promise<number[]> =>
    (await database.query<{ value: number }>('get_probe', 'SELECT value FROM probe ORDER BY value')).map((row) => row.value)

  it('fails with the error of a statement that nobody awaited', async () => {
    const failing = database.transaction('probe', async (tx) => {
      void tx.query('insert_probe', insert, [1])
      void tx.query('insert_probe', insert, [1])
      await sleep(20)
    })
    await expect(failing).rejects.toMatchObject({ code: '23505' })
    await sleep(20)
    expect(unhandled).toEqual([])
    expect(await values()).toEqual([])
  })

  it('whose connection is lost while it waits for something else is tried again', async () => {
    let attempts = 0
    await database.transaction('probe', async (tx) => {
      attempts++
      if (attempts === 1) {
        const [row] = await tx.query<{ pid: number }>('get_pid', 'SELECT pg_backend_pid() AS pid')
        void tx.query('sleep_probe', 'SELECT pg_sleep(5)')
        await database.query('end_backend', 'SELECT pg_terminate_backend($1)', [row?.pid])
        await sleep(100)
      }
      await tx.query('insert_probe', insert, [2])
    })
    expect(attempts).toBe(2)
    expect(await values()).toEqual([2])
    expect(unhandled).toEqual([])
  })

  it('in one packet stores nothing where its statements could not all be made', async () => {
    const failing = database.burst((tx) => {
      void tx.query('insert_probe', insert, [3])
      throw new Error('a bug')
    })
    await expect(failing).rejects.toThrow('a bug')
    expect(await values()).toEqual([2])
    // The connection goes on.
    await Promise.all([4, 5, 6].map((value) => database.burst((tx) => tx.query('insert_probe', insert, [value]))))
    expect(await values()).toEqual([2, 4, 5, 6])
    expect(unhandled).toEqual([])
  })
})
