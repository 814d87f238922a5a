import type { Place } from './config-error.ts'

/** A configuration value together with the place where it was written. */
export interface Located {
  readonly place: Place
  readonly value: LocatedValue
}
export type LocatedValue = null | boolean | number | string | readonly Located[] | LocatedMap
export type LocatedMap = ReadonlyMap<string, LocatedEntry>
export interface LocatedEntry {
  /** The place of the key. */
  readonly place: Place
  readonly node: Located
}

/** Wraps a plain object, for configurations that come from code and not from a file. */
export function locatePlain(value: unknown, file: string): Located {
  const place: Place = { file, line: 0, column: 0 }
  if (Array.isArray(value)) return { place, value: value.map((item: unknown) => locatePlain(item, file)) }
  if (typeof value === 'object' && value !== null) {
    const entries = new Map<string, LocatedEntry>()
    for (const [key, item] of Object.entries(value)) {
      if (item !== undefined) entries.set(key, { place, node: locatePlain(item, file) })
    }
    return { place, value: entries }
  }
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return { place, value }
  return { place, value: null }
}

/** Turns a located value back into plain objects, for options whose content is handed on as it is. */
export function toPlain(node: Located): unknown {
  if (isLocatedList(node.value)) return node.value.map(toPlain)
  if (isLocatedMap(node.value)) return Object.fromEntries([...node.value].map(([key, entry]) => [key, toPlain(entry.node)]))
  return node.value
}

/** Tells whether the value is a list. */
export function isLocatedList(value: LocatedValue): value is readonly Located[] {
  return Array.isArray(value)
}

/** Tells whether the value is a mapping. */
export function isLocatedMap(value: LocatedValue): value is LocatedMap {
  return value instanceof Map
}
