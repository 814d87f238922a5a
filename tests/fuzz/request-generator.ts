import type { SpecOperation, SpecParameter } from '../kit/spec/operations.ts'
import { isSpecObject } from '../kit/spec/spec-files.ts'
import type { SpecValue } from '../kit/spec/spec-files.ts'
import { brokenBody, oddText, writeJson } from './hostile-values.ts'
import { SchemaValues } from './schema-values.ts'
import type { Vocabulary } from './schema-values.ts'
import type { SeededRandom } from './seeded-random.ts'

export interface FuzzRequest {
  readonly operation: SpecOperation
  readonly method: string
  readonly path: string
  readonly body: string | Uint8Array | undefined
  readonly contentType: string
}

/** Bytes in a path that are no UTF-8, no character, or a separator. */
const RAW_PATH_PARTS = ['%', '%zz', '%ff', '%00', '%c3%28', '%2F%2E%2E%2F', '%E2%80%AE', '.', '..', '%ED%A0%80']

/** Makes hostile requests for an operation from its description. */
export class RequestGenerator {
  readonly #random: SeededRandom
  readonly #vocabulary: Vocabulary

  constructor(random: SeededRandom, vocabulary: Vocabulary) {
    this.#random = random
    this.#vocabulary = vocabulary
  }

  make(operation: SpecOperation): FuzzRequest {
    const random = this.#random
    // Few mutations reach deep code, many reach the outer checks: both are wanted.
    const hostility = random.pick([0, 0.02, 0.05, 0.15, 0.5])
    const values = new SchemaValues({ random, vocabulary: this.#vocabulary, hostility })
    const path = operation.path.replaceAll(/\{(\w+)\}/g, (_all, name: string) =>
      this.#pathPart(name, operation, values, hostility),
    )
    const query = this.#query(operation, values, hostility)
    const schema = bodySchema(operation)
    return {
      operation,
      method: operation.method,
      path: path + query,
      body: this.#body(operation, schema, values),
      contentType: schema === undefined && operation.requestBody !== undefined ? 'application/octet-stream' : 'application/json',
    }
  }

  #pathPart(name: string, operation: SpecOperation, values: SchemaValues, hostility: number): string {
    if (this.#random.chance(hostility / 2)) return this.#random.pick(RAW_PATH_PARTS)
    const parameter = operation.parameters.find((candidate) => candidate.in === 'path' && candidate.name === name)
    const value = parameter === undefined ? values.text(name) : this.#parameterText(parameter, values)
    return encodeURIComponent(value.toWellFormed().slice(0, 3000)) || 'empty'
  }

  #parameterText(parameter: SpecParameter, values: SchemaValues): string {
    const { schema, name } = parameter
    const isText = isSpecObject(schema) && schema['type'] === 'string' && schema['enum'] === undefined
    if (isText) return values.text(name, typeof schema['format'] === 'string' ? schema['format'] : undefined)
    const value = values.make(schema, name)
    return typeof value === 'string' ? value : writeJson(value)
  }

  #query(operation: SpecOperation, values: SchemaValues, hostility: number): string {
    const random = this.#random
    const parts: string[] = []
    for (const parameter of operation.parameters) {
      if (parameter.in !== 'query') continue
      if (!(parameter.required ? !random.chance(hostility) : random.chance(0.5))) continue
      const text = this.#parameterText(parameter, values).toWellFormed().slice(0, 3000)
      parts.push(`${encodeURIComponent(parameter.name)}=${encodeURIComponent(text)}`)
      if (random.chance(hostility / 2)) parts.push(`${encodeURIComponent(parameter.name)}=${random.pick(RAW_PATH_PARTS)}`)
    }
    if (random.chance(hostility / 2)) parts.push(`${encodeURIComponent(oddText(random).toWellFormed().slice(0, 300))}=%ff`)
    return parts.length === 0 ? '' : `?${parts.join('&')}`
  }

  #body(operation: SpecOperation, schema: SpecValue | undefined, values: SchemaValues): string | Uint8Array | undefined {
    const random = this.#random
    if (operation.method === 'GET') return undefined
    if (random.chance(0.07)) return brokenBody(random)
    if (schema === undefined) return operation.requestBody === undefined ? (random.chance(0.5) ? '{}' : undefined) : 'some bytes'
    return writeJson(values.make(schema))
  }
}

function bodySchema(operation: SpecOperation): SpecValue | undefined {
  const content = operation.requestBody?.['content']
  const json = isSpecObject(content) ? content['application/json'] : undefined
  return isSpecObject(json) ? json['schema'] : undefined
}
