import type { SpecOperation } from './operations.ts'

interface Route {
  readonly segments: readonly string[]
  readonly operation: SpecOperation
}

/** Parameters that the specification lets be empty. */
const MAY_BE_EMPTY = new Set(['{stateKey}'])

/**
 * Finds the specification's operation for a request. Historical versions (`r0`, `api/v1`, `unstable`, an older `v1` or
 * `v2`) and unstable prefixes of MSCs lead to the stable operation of the same shape.
 */
export class PathMatcher {
  readonly #routes = new Map<string, Route[]>()

  constructor(operations: readonly SpecOperation[]) {
    for (const operation of operations) {
      const segments = operation.path.split('/')
      const key = `${operation.method} ${segments.length}`
      const routes = this.#routes.get(key) ?? []
      routes.push({ segments, operation })
      this.#routes.set(key, routes)
    }
  }

  /**
   * `url` may be a full address or a path with a query string. More than one operation comes back only where the
   * specification describes one request in two files (`/invite`, `/events`). None: the request is not in it.
   */
  find(method: string, url: string): SpecOperation[] {
    const path = new URL(url, 'http://localhost').pathname
    for (const candidate of stablePaths(path)) {
      const operations = this.#match(method.toUpperCase() === 'HEAD' ? 'GET' : method.toUpperCase(), candidate)
      if (operations.length > 0) return operations
    }
    return []
  }

  #match(method: string, path: string): SpecOperation[] {
    const parts = path.split('/')
    const routes = (this.#routes.get(`${method} ${parts.length}`) ?? []).filter((route) => segmentsMatch(route.segments, parts))
    const most = Math.max(...routes.map(literalCount))
    return routes.filter((route) => literalCount(route) === most).map((route) => route.operation)
  }
}

function segmentsMatch(segments: readonly string[], parts: readonly string[]): boolean {
  return segments.every((segment, index) =>
    segment.startsWith('{') ? parts[index] !== '' || MAY_BE_EMPTY.has(segment) : segment === parts[index],
  )
}

function literalCount(route: Route): number {
  return route.segments.filter((segment) => !segment.startsWith('{')).length
}

function stablePaths(path: string): string[] {
  const found = /^\/_matrix\/(client|media)\/(?:unstable\/[^/]*\.[^/]*|api\/v1|r\d+|v\d+|unstable)(\/.*)$/.exec(path)
  if (found === null) return [path, `${path}/`]
  const [, surface, rest = ''] = found
  const stable = ['v3', 'v1', 'v2'].map((version) => `/_matrix/${surface}/${version}${rest}`)
  // The state of a room with an empty state key may be asked for without the last slash.
  return [path, ...stable, `${path}/`, ...stable.map((candidate) => `${candidate}/`)]
}
