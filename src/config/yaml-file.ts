import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml'
import type { Document, Node } from 'yaml'
import { ConfigError, formatPlace } from './config-error.ts'
import type { Place } from './config-error.ts'
import { isLocatedMap } from './located.ts'
import type { Located, LocatedEntry } from './located.ts'

const ALIAS_DEPTH_MAX = 50

interface Reading {
  readonly document: Document
  readonly placeOf: (node: Node) => Place
  readonly warnings: string[]
}

/** Reads YAML 1.1 as Python's loader does (`off` is false, `010` is 8, `<<` merges) and remembers where each value stands. */
export function parseYaml(text: string, file: string, warnings: string[]): Located {
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { version: '1.1', uniqueKeys: false, lineCounter, prettyErrors: false })
  const placeAt = (offset: number): Place => {
    const { line, col } = lineCounter.linePos(offset)
    return { file, line, column: col }
  }
  if (document.errors.length > 0) {
    throw new ConfigError(
      document.errors.map((error) => `${formatPlace(placeAt(error.pos[0]))}: this is not valid YAML: ${error.message}`),
    )
  }
  const placeOf = (node: Node): Place => placeAt(node.range?.[0] ?? 0)
  return locate(document.contents as Node | null, { document, placeOf, warnings }, 0, { file, line: 1, column: 1 })
}

function locate(node: Node | null, reading: Reading, depth: number, fallback: Place): Located {
  if (node === null) return { place: fallback, value: null }
  const place = node.range ? reading.placeOf(node) : fallback
  // An alias to its own parent would never end.
  if (depth > ALIAS_DEPTH_MAX) throw new ConfigError([`${formatPlace(place)}: values are nested too deeply`])
  if (isAlias(node)) return locate(node.resolve(reading.document) ?? null, reading, depth + 1, place)
  if (isSeq(node)) return { place, value: node.items.map((item) => locate(item as Node | null, reading, depth + 1, place)) }
  if (isMap(node)) return { place, value: locateMap(node.items as { key: unknown; value: unknown }[], reading, depth, place) }
  return { place, value: isScalar(node) ? toScalar(node.value) : null }
}

function locateMap(
  items: readonly { key: unknown; value: unknown }[],
  reading: Reading,
  depth: number,
  place: Place,
): Map<string, LocatedEntry> {
  const own = new Map<string, LocatedEntry>()
  const merged = new Map<string, LocatedEntry>()
  for (const { key: keyNode, value } of items) {
    const key = isScalar(keyNode) ? String(typeof keyNode.value === 'symbol' ? '<<' : keyNode.value) : String(keyNode)
    const keyPlace = isScalar(keyNode) ? reading.placeOf(keyNode) : place
    const node = locate(value as Node | null, reading, depth + 1, keyPlace)
    if (key === '<<') {
      for (const source of Array.isArray(node.value) ? (node.value as readonly Located[]) : [node]) {
        if (!isLocatedMap(source.value)) continue
        for (const [mergedKey, entry] of source.value) if (!merged.has(mergedKey)) merged.set(mergedKey, entry)
      }
      continue
    }
    const earlier = own.get(key)
    if (earlier)
      reading.warnings.push(`${formatPlace(keyPlace)}: \`${key}\` stands twice; this one wins over line ${earlier.place.line}`)
    own.set(key, { place: keyPlace, node })
  }
  return new Map([...merged, ...own])
}

function toScalar(value: unknown): null | boolean | number | string {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value
  if (typeof value === 'bigint') return Number(value)
  if (value instanceof Date) return value.toISOString()
  return null
}
