import type { Config } from './config.ts'
import type { ListenerConfig } from './listeners.ts'
import { describeTopology, listSharedFacts } from './topology.ts'

/** The configuration of one of several processes, and the file that makes it different from the others. */
export interface ProcessConfig {
  readonly file: string
  readonly config: Config
}

/** Finds what only shows when the files of all processes lie side by side: names and ports used twice, and shared options that differ. */
export function findDisagreements(processes: readonly ProcessConfig[]): string[] {
  const problems: string[] = []
  for (const [index, one] of processes.entries()) {
    for (const other of processes.slice(0, index)) problems.push(...compare(other, one))
  }
  const [first, ...others] = processes
  if (first === undefined) return problems
  const facts = listSharedFacts(first.config)
  for (const { file, config } of others) {
    for (const [option, value] of Object.entries(listSharedFacts(config))) {
      if (value !== facts[option])
        problems.push(
          `${file}: ${option}: differs from ${first.file}; set it in the shared file only, it is the same for all processes`,
        )
    }
  }
  return problems
}

function compare(first: ProcessConfig, second: ProcessConfig): string[] {
  const one = describeTopology(first.config)
  const other = describeTopology(second.config)
  const problems: string[] = []
  if (one.instance === other.instance) {
    const how =
      one.kind === 'main'
        ? 'are both the main process; remove one'
        : `are both called ${one.instance}; give one another \`worker_name\``
    problems.push(`${second.file}: worker_name: this file and ${first.file} ${how}`)
  }
  for (const listener of other.listeners) {
    if (!one.listeners.some((candidate) => collide(candidate, listener))) continue
    const where = listener.path ?? `port ${listener.port ?? 0}`
    problems.push(
      `${second.file}: ${other.kind === 'main' ? 'listeners' : 'worker_listeners'}: ${where} is taken by ${one.instance} (${first.file}) already; choose another one`,
    )
  }
  return problems
}

function collide(one: ListenerConfig, other: ListenerConfig): boolean {
  if (one.path !== undefined || other.path !== undefined) return one.path === other.path
  // Port 0 is any free one.
  if (one.port !== other.port || one.port === 0) return false
  return one.bindAddresses.some(
    (address) => isWildcard(address) || other.bindAddresses.some((it) => isWildcard(it) || it === address),
  )
}

function isWildcard(address: string): boolean {
  return address === '::' || address === '0.0.0.0'
}
