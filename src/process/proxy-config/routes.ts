import type { EndpointGroupName } from '../../api/endpoint-groups.ts'
import { ENDPOINT_GROUPS } from '../../api/endpoint-groups.ts'
import type { Endpoint, HttpMethod, ListenerResource } from '../../http/endpoint.ts'
import { CLIENT_PREFIX, PATH_FAMILIES } from './families.ts'
import type { PathFamily } from './families.ts'

/** One rule of the proxy. Of several that match, the first counts. */
export interface ProxyRoute {
  readonly group: EndpointGroupName
  readonly resource: ListenerResource
  /** Undefined for all methods. */
  readonly methods?: readonly (HttpMethod | 'HEAD')[]
  /** Regular expression on the decoded path, anchored at its beginning. */
  readonly pattern: string
}

/** Finds the room of a path for balancing by room: the second group. */
export const ROOM_OF_PATH = `^${CLIENT_PREFIX}/(?:rooms|join|knock)/([^/]+)`
/** Finds the local part, in base64, of a token that we gave out. */
export const USER_OF_TOKEN = 'syt_([^_]+)_'

/** Where uploads arrive: passed on while they come in. */
export const UPLOAD_PATTERN = '^/_matrix/media/(?:v1|r0|v3)/upload(?:/|$)'

/** The paths with this beginning are passed on at all; never those of replication, metrics and other things between processes. */
export const PUBLIC_PATTERN = '^(?:/$|/health$|/\\.well-known/matrix/|/_matrix/|/_synapse/(?:client|admin)/)'

const VERSIONED = /^\^\/_matrix\/client\/(api\/v1|r0|v1|v3|unstable)(\/.*)$/

/** Makes the rules for these endpoints: the families, and before them what an endpoint's own definition says otherwise. */
export function buildRoutes(endpoints: readonly Endpoint<never>[]): ProxyRoute[] {
  const exceptions = endpoints.flatMap((endpoint) =>
    endpoint.paths
      .filter((path) => !isAsFamiliesSay(endpoint, path))
      .map((path): ProxyRoute & { readonly statics: number } => ({
        group: groupOf(endpoint),
        resource: endpoint.resource,
        methods: endpoint.method === 'GET' ? ['GET', 'HEAD'] : [endpoint.method],
        pattern: patternOf(path),
        statics: path.split('/').filter((segment) => !segment.startsWith(':')).length,
      })),
  )
  // `/a/b` before `/a/:x`.
  const sorted = exceptions.toSorted((one, other) => other.statics - one.statics)
  return [...mergeRoutes(sorted), ...PATH_FAMILIES]
}

/** Finds the rule for a request, as the proxies do. The path is decoded and has no query. */
export function findRoute(routes: readonly ProxyRoute[], method: string, path: string): ProxyRoute | undefined {
  return routes.find(
    ({ methods, pattern }) =>
      (methods === undefined || methods.some((candidate) => candidate === method)) && new RegExp(pattern).test(path),
  )
}

/** A path like those of the template. */
export function samplePath(template: string): string {
  return template.replaceAll(/:[A-Za-z]+/g, (name) => SAMPLES[name] ?? 'value')
}

const SAMPLES: Readonly<Record<string, string>> = { ':roomId': '!room:example.com', ':userId': '@user:example.com' }

function isAsFamiliesSay(endpoint: Endpoint<never>, path: string): boolean {
  const family: PathFamily | undefined = PATH_FAMILIES.find(({ pattern }) => new RegExp(pattern).test(samplePath(path)))
  return family !== undefined && family.group === endpoint.group && family.resource === endpoint.resource
}

function groupOf({ group, operationId }: Endpoint<never>): EndpointGroupName {
  if (!(group in ENDPOINT_GROUPS)) throw new Error(`The endpoint ${operationId} has the group ${group}, which does not exist`)
  return group as EndpointGroupName
}

function patternOf(template: string): string {
  const segments = template
    .replace(/\/$/, '')
    .split('/')
    .map((segment) => (segment.startsWith(':') ? '[^/]+' : segment.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')))
  return `^${segments.join('/')}/?$`
}

/** One rule for paths that differ in nothing but the version of the API, or the method. */
function mergeRoutes(routes: readonly ProxyRoute[]): ProxyRoute[] {
  const merged = new Map<string, { route: ProxyRoute; versions: Set<string>; methods: Set<HttpMethod | 'HEAD'>; rest: string }>()
  for (const route of routes) {
    const [, version = '', rest = route.pattern] = VERSIONED.exec(route.pattern) ?? []
    const key = JSON.stringify([route.group, route.resource, version === '', rest])
    const entry = merged.get(key) ?? { route, versions: new Set(), methods: new Set(), rest }
    entry.versions.add(version)
    for (const method of route.methods ?? []) entry.methods.add(method)
    merged.set(key, entry)
  }
  return [...merged.values()].map(({ route, versions, methods, rest }) => ({
    ...route,
    methods: [...methods],
    pattern: rest === route.pattern ? rest : `^/_matrix/client/(?:${[...versions].join('|')})${rest}`,
  }))
}
