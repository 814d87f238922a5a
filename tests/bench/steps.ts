import type { BenchClient, BenchUser } from './bench-client.ts'
import type { BenchServer } from './bench-server.ts'
import { measure } from './measure.ts'
import type { Load, Measurement } from './measure.ts'

/** What a scenario works with. */
export interface Bench {
  readonly server: BenchServer
  readonly client: BenchClient
  /** Length of each timed phase. */
  readonly seconds: number
  /** Where figures are taken at several loads. */
  readonly concurrencies: readonly number[]
  report(measurement: Measurement): void
}

/** Measures one phase for the usual time and reports it. */
export async function timed(bench: Bench, load: Omit<Load, 'seconds'>): Promise<void> {
  bench.report(await measure(bench.server, { seconds: bench.seconds, ...load }))
}

/** Makes accounts, a few at a time. */
export async function registerMany(bench: Bench, count: number): Promise<BenchUser[]> {
  return inBatches(count, () => bench.client.register())
}

/** Makes a public room with so many members; the first one created it. */
export async function roomOf(bench: Bench, members: readonly BenchUser[]): Promise<string> {
  const roomId = await bench.client.createRoom(pickUser(members, 0))
  await inBatches(members.length - 1, (index) => bench.client.join(pickUser(members, index + 1), roomId))
  return roomId
}

/** The users in turn. */
export function pickUser(users: readonly BenchUser[], index: number): BenchUser {
  const user = users[index % users.length]
  if (user === undefined) throw new Error('there are no users')
  return user
}

/** Runs so many pieces of work, eight at a time. */
export async function inBatches<T>(count: number, work: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = []
  let next = 0
  const loop = async (): Promise<void> => {
    while (next < count) {
      const index = next
      next += 1
      results[index] = await work(index)
    }
  }
  await Promise.all(Array.from({ length: 8 }, loop))
  return results
}
