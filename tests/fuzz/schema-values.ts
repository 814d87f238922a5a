import { isSpecObject } from '../kit/spec/spec-files.ts'
import type { SpecValue } from '../kit/spec/spec-files.ts'
import { oddText, oddValue } from './hostile-values.ts'
import type { SeededRandom } from './seeded-random.ts'

/** Values that exist on the server under test, by the format or name of what asks for them. */
export interface Vocabulary {
  readonly byFormat: Readonly<Record<string, readonly string[]>>
  readonly byName: Readonly<Record<string, readonly string[]>>
}

const DEPTH_MAX = 8

/**
 * Makes values that fit schemas, except where they are to be hostile: at each place with the probability `hostility` the
 * value is replaced by an odd one, required members are left out and unknown ones added.
 */
export class SchemaValues {
  readonly #random: SeededRandom
  readonly #vocabulary: Vocabulary
  readonly #hostility: number

  constructor(options: { random: SeededRandom; vocabulary: Vocabulary; hostility: number }) {
    this.#random = options.random
    this.#vocabulary = options.vocabulary
    this.#hostility = options.hostility
  }

  make(schema: SpecValue, name = '', depth = 0): unknown {
    const random = this.#random
    if (random.chance(this.#hostility)) return oddValue(random)
    if (!isSpecObject(schema) || depth > DEPTH_MAX) return random.chance(0.5) ? {} : 'text'
    const variants = schema['oneOf'] ?? schema['anyOf']
    if (Array.isArray(variants) && variants.length > 0) return this.make(random.pick(variants), name, depth + 1)
    if (Array.isArray(schema['allOf'])) return this.#all(schema['allOf'], name, depth)
    if (Array.isArray(schema['enum']) && random.chance(0.9)) return random.pick(schema['enum'])
    if (schema['example'] !== undefined && random.chance(0.4)) return schema['example']
    const type = Array.isArray(schema['type']) ? random.pick(schema['type']) : schema['type']
    switch (type) {
      case 'string':
        return this.text(name, typeof schema['format'] === 'string' ? schema['format'] : undefined)
      case 'integer':
      case 'number':
        return random.pick([0, 1, 5, 10, 100, 5000])
      case 'boolean':
        return random.chance(0.5)
      case 'array':
        return Array.from({ length: random.below(4) }, () => this.make(schema['items'] ?? true, name, depth + 1))
      default:
        return this.#object(schema, depth)
    }
  }

  /** A text for a place of this name and format: mostly something that exists. */
  text(name: string, format?: string): string {
    const random = this.#random
    if (random.chance(this.#hostility)) return oddText(random)
    const known = this.#vocabulary.byName[name] ?? (format === undefined ? undefined : this.#vocabulary.byFormat[format])
    return known === undefined ? random.pick(['text', 'm.room.message', 'online', 'b', 'f', '1', 'en']) : random.pick(known)
  }

  #object(schema: Readonly<Record<string, SpecValue>>, depth: number): Record<string, unknown> {
    const random = this.#random
    const result: Record<string, unknown> = {}
    const required = Array.isArray(schema['required']) ? schema['required'] : []
    const properties = isSpecObject(schema['properties']) ? schema['properties'] : {}
    for (const [name, member] of Object.entries(properties)) {
      const isWanted = required.includes(name) ? !random.chance(this.#hostility) : random.chance(0.5)
      if (isWanted) result[name] = this.make(member, name, depth + 1)
    }
    const others = schema['additionalProperties'] ?? patternSchema(schema)
    if (others !== undefined && others !== false) {
      for (let count = random.below(3); count > 0; count -= 1) {
        const format =
          isSpecObject(schema) && typeof schema['x-pattern-format'] === 'string' ? schema['x-pattern-format'] : undefined
        result[this.text('key', format)] = this.make(others, '', depth + 1)
      }
    }
    if (random.chance(this.#hostility)) result[oddText(random).slice(0, 300)] = oddValue(random)
    return result
  }

  #all(parts: readonly SpecValue[], name: string, depth: number): unknown {
    const values = parts.map((part) => this.make(part, name, depth + 1))
    const objects = values.filter((value) => typeof value === 'object' && value !== null && value.constructor === Object)
    return objects.length === values.length ? Object.assign({}, ...objects) : values[0]
  }
}

function patternSchema(schema: Readonly<Record<string, SpecValue>>): SpecValue | undefined {
  return isSpecObject(schema['patternProperties']) ? Object.values(schema['patternProperties'])[0] : undefined
}
