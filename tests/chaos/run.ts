import { createWriteStream } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { SeededRandom } from '../fuzz/seeded-random.ts'
import { SpawnedCluster } from '../kit/spawned-cluster.ts'
import { ChaosClient } from './chaos-client.ts'
import { check } from './checker.ts'
import type { Violation } from './checker.ts'
import { computeFigures } from './figures.ts'
import type { Figures } from './figures.ts'
import { readFinally } from './final-read.ts'
import { Follower } from './follower.ts'
import { Recorder } from './history.ts'
import { LAYOUTS } from './layouts.ts'
import type { LayoutName } from './layouts.ts'
import { uploadAndClaim, whisperTo } from './load-devices.ts'
import { comeAndGo, comeAndLogOut, countInAccountData, markAsRead, writeTo } from './load-writers.ts'
import type { Work } from './load-writers.ts'
import { Nemesis } from './nemesis.ts'
import { planFaults } from './plan.ts'
import type { FaultKind } from './plan.ts'
import { RedisProxy } from './redis-proxy.ts'
import { createWorld, logIn } from './world.ts'
import type { World } from './world.ts'

/** What a fault run is given. */
export interface RunOptions {
  readonly seed: number
  readonly seconds: number
  readonly layout: LayoutName
  readonly kinds?: readonly FaultKind[]
  /** Rooms written to; each has a writer of its own. */
  readonly rooms?: number
  /** Pause of a writer between two messages. */
  readonly pauseMs?: number
  /** Files for the history and the logs of the processes. */
  readonly historyFile?: string
  readonly logFile?: string
  readonly report?: (line: string) => void
}

/** What a fault run found. */
export interface RunOutcome {
  readonly figures: Figures
  readonly violations: readonly Violation[]
  /** Faults that did not go as they should, and answers with status 500. */
  readonly failures: readonly string[]
  readonly internalErrors: readonly string[]
}

const WARM_UP_MS = 10_000
const QUIET_MS = 20_000
/** Of the quiet, so long is written on: recovery from the last fault is to be seen. */
const WRITE_ON_MS = 5000

/** Runs load and faults on a cluster of its own and judges what came of it: warm-up, faults, quiet, final read, check. */
export async function runChaos(options: RunOptions): Promise<RunOutcome> {
  const report = options.report ?? (() => undefined)
  const random = new SeededRandom(options.seed)
  let redisProxy: RedisProxy | undefined
  const log = options.logFile === undefined ? undefined : createWriteStream(options.logFile)
  const cluster = await SpawnedCluster.start({
    layout: LAYOUTS[options.layout],
    onLog: (name, line) => log?.write(`${name.padEnd(12)} | ${line}\n`),
    async redisVia(upstreamPath) {
      const path = `${upstreamPath}.proxy`
      redisProxy = await RedisProxy.open({ path, upstreamPath, random: new SeededRandom(options.seed + 1) })
      return path
    },
  })
  try {
    if (redisProxy === undefined) throw new Error('There is no Redis')
    const sockets = new Map(cluster.clientNames.map((name) => [name, cluster.socketOf(name)]))
    const client = new ChaosClient(cluster.baseUrl, sockets, random)
    const recorder = new Recorder(options.historyFile)
    client.onTrouble = (trouble) => recorder.write({ t: recorder.now(), trouble })
    try {
      return await runOn({ cluster, client, recorder, random, redisProxy, report }, options)
    } finally {
      await recorder.close()
      await client.close()
    }
  } finally {
    await cluster[Symbol.asyncDispose]()
    await redisProxy?.close()
    log?.end()
  }
}

interface Parts {
  readonly cluster: SpawnedCluster
  readonly client: ChaosClient
  readonly recorder: Recorder
  readonly random: SeededRandom
  readonly redisProxy: RedisProxy
  readonly report: (line: string) => void
}

async function runOn(parts: Parts, options: RunOptions): Promise<RunOutcome> {
  const { cluster, client, recorder, random, report } = parts
  const { rooms = 4, pauseMs = 100 } = options
  const world = await createWorld({ client, recorder, random }, { rooms, visitors: 2 })
  const followers = await startFollowers(world)
  const following = new AbortController()
  const writing = new AbortController()
  const chains = Promise.all(followers.map((follower) => follower.run(following.signal)))
  const load = Promise.all(listWork(world, { followers, pauseMs }).map((work) => work(world, writing.signal)))
  const running = Promise.race([chains, load]).then(() => undefined)
  report(`${(recorder.now() / 1000).toFixed(1)} s: load begins on ${cluster.names.length} processes`)
  await Promise.race([running, sleep(WARM_UP_MS)])
  const { clientNames: clientProcesses, names: processes, persisters } = cluster
  const ms = Math.max(0, options.seconds * 1000 - WARM_UP_MS - QUIET_MS)
  const plan = planFaults({ ...options, processes, clientProcesses, persisters, ms })
  const nemesis = new Nemesis(parts)
  await Promise.race([running, nemesis.run(plan)])
  report(`${(recorder.now() / 1000).toFixed(1)} s: quiet`)
  await sleep(WRITE_ON_MS)
  writing.abort()
  await load
  const failures = [...nemesis.failures]
  if (!(await untilQuiet(followers, recorder))) failures.push('the devices did not come to rest in time')
  following.abort()
  await chains
  const final = await readFinally(world, followers)
  recorder.write({ final })
  const violations = check(recorder.entries, final)
  const figures = computeFigures(recorder.entries, violations)
  return { figures, violations, failures, internalErrors: client.internalErrors }
}

/** Devices behind nginx, at every process, and one that asks another process each time. */
async function startFollowers(world: World): Promise<Follower[]> {
  const { client, random, reader, keeper } = world
  const places = [
    { name: 'wanderer', choose: () => random.pick(client.targets) },
    ...client.targets.map((target) => ({ name: `at ${target.name}`, choose: () => target })),
  ]
  const followers: Follower[] = []
  for (const [index, { name, choose }] of places.entries()) {
    const session = await logIn(world, client.proxy, (index % 2 === 0 ? reader : keeper).localpart)
    if (session === undefined) throw new Error('A device could not log in')
    const follower = new Follower(world, { name, session, choose })
    await follower.begin()
    followers.push(follower)
  }
  return followers
}

function listWork(world: World, { followers, pauseMs }: { followers: readonly Follower[]; pauseMs: number }): Work[] {
  return [
    ...world.rooms.map((room) => writeTo(room, pauseMs)),
    ...followers.map((device) => whisperTo(device, pauseMs * 8)),
    ...world.visitors.map((visitor) => comeAndGo(visitor, pauseMs * 6)),
    markAsRead(pauseMs * 4),
    countInAccountData(pauseMs * 5),
    uploadAndClaim(pauseMs * 8),
    comeAndLogOut('visitor0', pauseMs * 10),
  ]
}

/** Waits until every device has been told everything; false when that takes longer than the quiet. */
async function untilQuiet(followers: readonly Follower[], recorder: Recorder): Promise<boolean> {
  const since = recorder.now()
  while (recorder.now() - since < QUIET_MS) {
    if (followers.every((follower) => follower.isQuietSince(since))) return true
    await sleep(100)
  }
  return false
}
