import type { ListenerConfig } from '../../config/listeners.ts'
import type { ListenerResource } from '../../http/endpoint.ts'
import type { ServerProcess } from './topology.ts'

/** Where a proxy reaches a process. */
export interface ProxyMember {
  readonly process: string
  /** `host:port`, with brackets around IPv6, or the path of a Unix socket. */
  readonly address: string
  readonly isSocket: boolean
  readonly isTls: boolean
}

/** What a resource brings along on the main process, as in Synapse. */
const IMPLIED: Readonly<Record<string, readonly ListenerResource[]>> = {
  client: ['media', 'static'],
  federation: ['media', 'keys', 'openid'],
}
const WILDCARDS = new Set(['0.0.0.0', '::', ''])
const LOOPBACK_NAMES = new Set(['localhost', '127.0.0.1', '::1'])

/** Tells whether the resource stands in the process's configuration in so many words. */
export function namesResource(process: ServerProcess, resource: ListenerResource): boolean {
  return process.listeners.some((listener) => namesOf(listener).has(resource))
}

/** Finds where the process serves the resource; undefined when it does not. A listener without replication and TLS is taken before others. */
export function findMember(process: ServerProcess, resource: ListenerResource): ProxyMember | undefined {
  if (resource === 'media' && !process.hasMediaStore) return undefined
  const usable = process.listeners.filter(
    (listener) => listener.type === 'http' && listener.port !== 0 && serves(process, listener, resource),
  )
  const [best] = usable.toSorted((one, other) => costOf(one) - costOf(other))
  if (best === undefined) return undefined
  return {
    process: process.name,
    address: best.path ?? `${bracket(hostOf(process, best))}:${best.port ?? 0}`,
    isSocket: best.path !== undefined,
    isTls: best.tls,
  }
}

/** The resources that a listener names. */
export function namesOf(listener: ListenerConfig): ReadonlySet<string> {
  return new Set(listener.resources.flatMap(({ names }) => names))
}

function serves(process: ServerProcess, listener: ListenerConfig, resource: ListenerResource): boolean {
  const names = namesOf(listener)
  if (names.has(resource)) return true
  // A worker gets no media without being told: which of them has the store is the admin's decision.
  if (resource === 'media' && process.app !== undefined) return false
  return [...names].some((name) => IMPLIED[name]?.includes(resource) === true)
}

function costOf(listener: ListenerConfig): number {
  return (namesOf(listener).has('replication') ? 2 : 0) + (listener.tls ? 1 : 0)
}

function hostOf(process: ServerProcess, { bindAddresses }: ListenerConfig): string {
  const bound = bindAddresses.find((address) => !WILDCARDS.has(address) && !address.includes(':')) ?? bindAddresses[0] ?? ''
  if (!WILDCARDS.has(bound)) return bound === 'localhost' ? '127.0.0.1' : bound
  return process.host === undefined || LOOPBACK_NAMES.has(process.host) ? '127.0.0.1' : process.host
}

function bracket(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}
