import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parse as parseYaml } from 'yaml'
import { environmentVariable, repositoryPath } from '../environment.ts'

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
/** A parsed and resolved part of the specification. */
export type SpecObject = { [key: string]: Json }
export type SpecValue = Json

/** Finds the specification's machine-readable files: `../shared/spec` beside the repository, or GANGLION_SPEC_DIR. */
export function specDirectory(): string {
  const directory = environmentVariable('GANGLION_SPEC_DIR') ?? repositoryPath('../shared/spec')
  if (!existsSync(join(directory, 'api/client-server/sync.yaml'))) {
    throw new Error(
      `The Matrix specification's OpenAPI files are not in ${directory}. ` +
        'Put them there, or name their folder in GANGLION_SPEC_DIR (it must hold api/ and endpoints.tsv).',
    )
  }
  return directory
}

/** Tells whether a value of the specification is an object. */
export function isSpecObject(value: unknown): value is SpecObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Where the resolver is: the file, the references that led here, and whether this is example data and no schema. */
interface Place {
  readonly path: string
  readonly trail: readonly string[]
  readonly isExample: boolean
}

/**
 * Reads YAML and JSON files of the specification and puts each `$ref`'s target in its place. Keywords beside a `$ref`
 * are kept, as OpenAPI 3.1 says. A schema that holds itself is open (`true`) from the second round on.
 */
export class SpecFiles {
  readonly #files = new Map<string, SpecValue>()

  /** The whole file with every reference resolved. */
  load(path: string): SpecObject {
    const value = this.#resolve(this.#read(path), { path, trail: [`${path}#`], isExample: false })
    if (!isSpecObject(value)) throw new Error(`${path} is not an object`)
    return value
  }

  #read(path: string): SpecValue {
    const known = this.#files.get(path)
    if (known !== undefined) return known
    const value: SpecValue = parseYaml(readFileSync(path, 'utf8'))
    this.#files.set(path, value)
    return value
  }

  #resolve(value: SpecValue, place: Place): SpecValue {
    if (Array.isArray(value)) return value.map((item) => this.#resolve(item, place))
    if (!isSpecObject(value)) return value
    const reference = value['$ref']
    if (typeof reference !== 'string') return this.#resolveMembers(value, place)
    const target = this.#follow(reference, place)
    const rest = this.#resolveMembers(value, place)
    delete rest['$ref']
    if (Object.keys(rest).length === 0 || !isSpecObject(target)) return target
    return place.isExample ? mergeExamples(target, rest) : mergeSchemas(target, rest)
  }

  #resolveMembers(value: SpecObject, place: Place): SpecObject {
    const result: SpecObject = {}
    for (const [key, member] of Object.entries(value)) {
      const isExample = place.isExample || key === 'example' || key === 'examples'
      result[key] = this.#resolve(member, { ...place, isExample })
    }
    return result
  }

  #follow(reference: string, place: Place): SpecValue {
    const [file = '', pointer = ''] = reference.split('#')
    const path = file === '' ? place.path : resolve(dirname(place.path), file)
    const target = `${path}#${pointer}`
    if (place.trail.includes(target)) return true
    const trail = [...place.trail, target]
    return this.#resolve(pointTo(this.#read(path), pointer, target), { path, trail, isExample: place.isExample })
  }
}

function pointTo(document: SpecValue, pointer: string, place: string): SpecValue {
  let value: SpecValue | undefined = document
  for (const part of pointer.split('/').slice(1)) {
    const key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
    value = isSpecObject(value) ? value[key] : undefined
  }
  if (value === undefined) throw new Error(`The specification refers to ${place}, which does not exist`)
  return value
}

/** Both hold: annotations of the nearer one win, constraints of both apply. */
function mergeSchemas(target: SpecObject, beside: SpecObject): SpecObject {
  const annotations = new Set(['description', 'example', 'examples', 'title', 'deprecated'])
  const constraints = Object.keys(beside).filter((key) => !annotations.has(key) && !key.startsWith('x-'))
  if (constraints.length === 0) return { ...target, ...beside }
  return { allOf: [target, beside] }
}

/** Examples build on others: members of the nearer one are put over those of the other, at every depth. */
function mergeExamples(target: SpecObject, beside: SpecObject): SpecObject {
  const result = { ...target }
  for (const [key, value] of Object.entries(beside)) {
    const under = result[key]
    result[key] = isSpecObject(under) && isSpecObject(value) ? mergeExamples(under, value) : value
  }
  return result
}
