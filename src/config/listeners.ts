import { isLocatedList } from './located.ts'
import { flag, groupList, optionalInteger, optionalText, plainObject, readTable, section, text, textList } from './option.ts'
import type { Option, Values } from './option.ts'
import { describeValue, readMap } from './reader.ts'
import type { MapReader } from './reader.ts'

/** What a listener may serve; the folders of src/api/ carry these names. */
export const LISTENER_RESOURCES = [
  'client',
  'consent',
  'federation',
  'health',
  'keys',
  'media',
  'metrics',
  'openid',
  'replication',
  'static',
] as const
export type ListenerResource = (typeof LISTENER_RESOURCES)[number]
const SOCKET_MODE_DEFAULT = 0o666

/** One place where the server listens: a TCP port on some addresses, or a Unix socket. */
export interface ListenerConfig {
  readonly type: 'http' | 'metrics'
  readonly port: number | undefined
  readonly bindAddresses: readonly string[]
  /** Nobody chose the addresses: it listens on all of them because that is the default. */
  readonly isOnAllByDefault: boolean
  readonly path: string | undefined
  readonly mode: number
  readonly tls: boolean
  readonly xForwarded: boolean
  readonly resources: readonly { readonly names: readonly ListenerResource[]; readonly compress: boolean }[]
  /** Name of this listener in logs and metrics. */
  readonly tag: string
  readonly requestIdHeader: string | undefined
}

const RESOURCE_TABLE = {
  names: textList('names', [], `What is served: ${LISTENER_RESOURCES.join(', ')}.`),
  compress: flag('compress', false, 'Compresses answers.'),
}
const LISTENER_TABLE = {
  port: optionalInteger('port', 'TCP port; 0 for any free one.', { max: 65_535 }),
  path: optionalText('path', 'A Unix socket instead of a port.'),
  mode: optionalInteger('mode', 'Permissions of the Unix socket; 0o666 by default.'),
  bindAddresses: textList('bind_addresses', [], 'Addresses to listen on; all by default.'),
  bindAddress: optionalText('bind_address', 'One more address to listen on.'),
  type: text('type', 'http', '`http`, or `metrics` for Prometheus only.'),
  tls: flag('tls', false, 'Speaks TLS with `tls_certificate_path`.'),
  xForwarded: {
    ...flag('x_forwarded', false, 'Trusts `X-Forwarded-For` and `-Proto`; true by default on a Unix socket.'),
    read: readForwarded,
  },
  tag: optionalText('tag', 'Name of this listener in logs and metrics; the port by default.'),
  requestIdHeader: optionalText('request_id_header', 'Header with the request id that the log shows.'),
  resources: groupList('resources', RESOURCE_TABLE, 'What is served, in groups.'),
  additionalResources: plainObject('additional_resources', 'Python modules with endpoints; not supported.'),
}

function readForwarded(reader: MapReader): boolean {
  const onSocket = reader.get('path')?.value != null
  return flag('x_forwarded', onSocket, '').read(reader)
}

/** The option `listeners` (and, on workers, `worker_listeners`). */
export function listenerList(name: string, doc: string): Option<readonly ListenerConfig[]> {
  const read = (reader: MapReader): readonly ListenerConfig[] => {
    const node = reader.get(name)
    if (!node || node.value === null) return []
    if (!isLocatedList(node.value)) {
      reader.problem(node.place, name, `expected a list, found ${describeValue(node)}`)
      return []
    }
    return node.value.flatMap((item, index) => {
      const child = readMap(item, `${name}[${index}]`, reader.context)
      const values = readTable(LISTENER_TABLE, child)
      child.reportUnknown()
      return makeListener(values, child) ?? []
    })
  }
  return { name, type: 'list of mappings', defaultText: '[]', doc, inner: LISTENER_TABLE, read }
}

function makeListener(values: Values<typeof LISTENER_TABLE>, reader: MapReader): ListenerConfig | undefined {
  const { type, port, path } = values
  if (type === 'manhole') {
    reader.warn(reader.place, 'type', 'there is no manhole; use the admin API instead, and remove this listener')
    return undefined
  }
  if (type === 'replication') {
    reader.problem(
      reader.place,
      'type',
      'replication over plain TCP is gone; use Redis and a listener of type http with the resource replication',
    )
    return undefined
  }
  if (type !== 'http' && type !== 'metrics')
    reader.problem(reader.place, 'type', `expected http or metrics, found ${JSON.stringify(type)}`)
  if ((port === undefined) === (path === undefined))
    reader.problem(reader.place, 'port', 'expected either a port or the path of a Unix socket')
  if (path !== undefined && values.tls)
    reader.problem(reader.place, 'tls', 'a Unix socket cannot speak TLS; let the proxy do that')
  if (Object.keys(values.additionalResources).length > 0) {
    reader.warn(reader.place, 'additional_resources', 'Python modules cannot be loaded; remove this option')
  }
  const addresses = [...values.bindAddresses, ...(values.bindAddress === undefined ? [] : [values.bindAddress])]
  return Object.freeze({
    type: type === 'metrics' ? 'metrics' : 'http',
    port,
    bindAddresses: addresses.length > 0 ? addresses : type === 'metrics' ? ['0.0.0.0'] : ['::', '0.0.0.0'],
    isOnAllByDefault: path === undefined && addresses.length === 0,
    path,
    mode: values.mode ?? SOCKET_MODE_DEFAULT,
    tls: values.tls,
    xForwarded: values.xForwarded,
    resources:
      type === 'metrics'
        ? [{ names: ['metrics' as const], compress: false }]
        : values.resources.map((it) => checkNames(it, reader)),
    tag: values.tag ?? (path === undefined ? String(port) : 'unix'),
    requestIdHeader: values.requestIdHeader,
  } satisfies ListenerConfig)
}

function checkNames(
  resource: Values<typeof RESOURCE_TABLE>,
  reader: MapReader,
): { readonly names: readonly ListenerResource[]; readonly compress: boolean } {
  const names: ListenerResource[] = []
  for (const name of resource.names) {
    const known = LISTENER_RESOURCES.find((candidate) => candidate === name)
    if (known === undefined) {
      reader.problem(
        reader.place,
        'resources',
        `there is no resource ${JSON.stringify(name)}; known are ${LISTENER_RESOURCES.join(', ')}`,
      )
    } else names.push(known)
  }
  return { names, compress: resource.compress }
}

/** Where the server listens. */
export const listenerOptions = section('Listeners', {
  listeners: listenerList('listeners', 'Where the main process listens, and for what.'),
})
