import type { JsonObject, JsonValue } from '../json.ts'
import { isJsonObject } from '../json.ts'
import { parsePropertyPath } from '../property-path.ts'

/** Which properties to keep: undefined keeps the whole value. */
interface FieldTree {
  readonly [name: string]: FieldTree | undefined
}

/** Cuts an event down to some of its properties. */
export type FieldProjection = (event: JsonObject) => JsonObject

/** Makes a filter's `event_fields` ready; undefined where all fields are wanted. Spec: sync_filter.yaml. */
export function compileEventFields(fields: readonly string[] | undefined): FieldProjection | undefined {
  if (fields === undefined || fields.length === 0) return undefined
  const tree = buildTree(fields.map(parsePropertyPath))
  return (event) => project(event, tree)
}

function buildTree(paths: readonly (readonly string[])[]): FieldTree {
  const byName = new Map<string, (readonly string[])[]>()
  for (const [name, ...rest] of paths) {
    if (name === undefined) continue
    byName.set(name, [...(byName.get(name) ?? []), rest])
  }
  // A path that ends here wants the whole value, whatever else asks for parts of it.
  const entries = Array.from(
    byName,
    ([name, rests]) => [name, rests.some((rest) => rest.length === 0) ? undefined : buildTree(rests)] as const,
  )
  return Object.fromEntries(entries)
}

function project(value: JsonObject, tree: FieldTree): JsonObject {
  const kept: [string, JsonValue][] = []
  for (const name of Object.keys(tree)) {
    const part = Object.hasOwn(value, name) ? value[name] : undefined
    const below = tree[name]
    if (part === undefined) continue
    if (below === undefined) kept.push([name, part])
    else if (isJsonObject(part)) {
      const smaller = project(part, below)
      if (Object.keys(smaller).length > 0) kept.push([name, smaller])
    }
  }
  return Object.fromEntries(kept)
}
