import { findNearest } from '../util/nearest.ts'
import { formatPlace } from './config-error.ts'
import type { Place } from './config-error.ts'
import { isLocatedMap } from './located.ts'
import type { Located, LocatedEntry, LocatedMap } from './located.ts'

/** What reading a configuration gathers, and what it may look at. */
export interface ReadContext {
  readonly problems: string[]
  readonly warnings: string[]
  /** Reads a file that an option points to. Throws as `readFileSync` does. */
  readonly readFile: (path: string) => string
  /** The folder of the last configuration file: where files stand that have a default name. */
  readonly directory: string
}

/** Reads one mapping, and remembers which of its keys somebody asked for. */
export class MapReader {
  readonly path: string
  readonly place: Place
  readonly context: ReadContext
  readonly #entries: LocatedMap
  readonly #asked = new Set<string>()

  constructor(entries: LocatedMap, options: { path: string; place: Place; context: ReadContext }) {
    this.#entries = entries
    this.path = options.path
    this.place = options.place
    this.context = options.context
  }

  /** The value of a key; undefined when the key is missing, a node with `null` when it stands there without a value. */
  get(name: string): Located | undefined {
    this.#asked.add(name)
    return this.#entries.get(name)?.node
  }

  entries(): Iterable<[string, LocatedEntry]> {
    return this.#entries.entries()
  }

  /** The full name of a key, as an admin writes it: `rc_login.address`. */
  nameOf(name: string): string {
    return this.path === '' ? name : `${this.path}.${name}`
  }

  problem(place: Place, name: string, what: string): void {
    this.context.problems.push(`${formatPlace(place)}: ${this.nameOf(name)}: ${what}`)
  }

  warn(place: Place, name: string, what: string): void {
    this.context.warnings.push(`${formatPlace(place)}: ${this.nameOf(name)}: ${what}`)
  }

  /** A reader for the mapping under a key; an empty one when it is missing. */
  child(name: string): MapReader {
    const node = this.get(name)
    const path = this.nameOf(name)
    if (!node || node.value === null)
      return new MapReader(new Map(), { path, place: node?.place ?? this.place, context: this.context })
    return readMap(node, path, this.context)
  }

  /** Reports every key that nobody asked for. `known` has further names, with what to say about each. */
  reportUnknown(known: ReadonlyMap<string, string> = new Map()): void {
    for (const [name, entry] of this.#entries) {
      if (this.#asked.has(name)) continue
      const advice = known.get(name)
      if (advice === undefined) this.problem(entry.place, name, describeUnknown(name, [...this.#asked, ...known.keys()]))
      else if (advice !== '') this.warn(entry.place, name, advice)
    }
  }
}

/** Makes a reader for a node that must be a mapping; an empty one, with a problem noted, when it is not. */
export function readMap(node: Located, path: string, context: ReadContext): MapReader {
  if (isLocatedMap(node.value)) return new MapReader(node.value, { path, place: node.place, context })
  context.problems.push(`${formatPlace(node.place)}: ${path}: expected a mapping (name: value), found ${describeValue(node)}`)
  return new MapReader(new Map(), { path, place: node.place, context })
}

/** Says in a few words what stands there, for "expected …, found …". */
export function describeValue(node: Located): string {
  if (node.value === null) return 'nothing'
  if (Array.isArray(node.value)) return 'a list'
  if (isLocatedMap(node.value)) return 'a mapping'
  return typeof node.value === 'string' ? JSON.stringify(node.value) : String(node.value)
}

function describeUnknown(name: string, candidates: readonly string[]): string {
  const nearest = findNearest(name, candidates)
  return nearest === undefined ? 'there is no such option' : `there is no such option; did you mean \`${nearest}\`?`
}
