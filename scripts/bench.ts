import { writeFile } from 'node:fs/promises'
import { arch, cpus, platform, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { BenchClient } from '../tests/bench/bench-client.ts'
import { BenchServer } from '../tests/bench/bench-server.ts'
import type { Measurement } from '../tests/bench/measure.ts'
import { renderTable } from '../tests/bench/report.ts'
import { SCENARIOS } from '../tests/bench/scenarios.ts'

const HELP = `Measures a Ganglion server on a fresh database.

  npm run bench -- [options]

  --scenario A,B       only these (default all): ${Object.keys(SCENARIOS).join(', ')}
  --seconds N          length of each timed phase (default 4)
  --concurrency A,B    loads for the sends (default 1,8,64)
  --directory DIR      where the database lives while it runs (default the temporary folder)
  --json FILE          writes the figures there as well; - prints them
`

interface Options {
  readonly scenarios: readonly string[]
  readonly seconds: number
  readonly concurrencies: readonly number[]
  readonly directory: string | undefined
  readonly json: string | undefined
}

async function main(): Promise<void> {
  const options = readOptions()
  if (options === undefined) {
    process.stdout.write(HELP)
    return
  }
  const measurements: Measurement[] = []
  await using server = await BenchServer.start(options.directory)
  await using client = new BenchClient(server.baseUrl)
  const machine = {
    processor: `${cpus().length} × ${cpus()[0]?.model.trim() ?? arch()}`,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: platform(),
    node: process.version,
    postgresql: await server.databaseVersion(),
  }
  for (const name of options.scenarios) {
    process.stderr.write(`${name} …\n`)
    await SCENARIOS[name]?.({
      server,
      client,
      seconds: options.seconds,
      concurrencies: options.concurrencies,
      report(measurement) {
        measurements.push(measurement)
        if (measurement.firstError !== undefined)
          process.stderr.write(`  ${measurement.errors} errors, the first: ${measurement.firstError}\n`)
      },
    })
  }
  process.stdout.write(`${machine.processor}, ${machine.memoryGiB} GiB, Node ${machine.node}, PostgreSQL ${machine.postgresql}; `)
  process.stdout.write(
    'server, database and load share the machine; passwords are hashed with 4 rounds; CPU, WAL and commits are for one operation\n\n',
  )
  process.stdout.write(`${renderTable(measurements)}\n`)
  const json = JSON.stringify({ machine, measurements }, undefined, 2)
  if (options.json === '-') process.stdout.write(`${json}\n`)
  else if (options.json !== undefined) await writeFile(options.json, `${json}\n`)
}

function readOptions(): Options | undefined {
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean', default: false },
      scenario: { type: 'string' },
      seconds: { type: 'string', default: '4' },
      concurrency: { type: 'string', default: '1,8,64' },
      directory: { type: 'string' },
      json: { type: 'string' },
    },
  })
  if (values.help) return undefined
  const scenarios = values.scenario?.split(',') ?? Object.keys(SCENARIOS)
  const unknown = scenarios.filter((name) => !Object.hasOwn(SCENARIOS, name))
  if (unknown.length > 0)
    throw new Error(`there is no scenario ${unknown.join(', ')}; there are ${Object.keys(SCENARIOS).join(', ')}`)
  const numbers = [values.seconds, ...values.concurrency.split(',')].map(Number)
  if (numbers.some((number) => !(number > 0))) throw new Error('--seconds and --concurrency take numbers above 0')
  const [seconds = 4, ...concurrencies] = numbers
  return { scenarios, seconds, concurrencies, directory: values.directory, json: values.json }
}

await main()
