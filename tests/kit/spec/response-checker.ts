import { Ajv2020 } from 'ajv/dist/2020.js'
import type { ErrorObject, ValidateFunction } from 'ajv/dist/2020.js'
import { SPEC_FORMATS } from './formats.ts'
import { loadOperations } from './operations.ts'
import type { SpecOperation } from './operations.ts'
import { PathMatcher } from './path-matcher.ts'
import { isSpecObject } from './spec-files.ts'
import type { SpecObject, SpecValue } from './spec-files.ts'

/** What came back for a request. */
export interface CheckedResponse {
  readonly method: string
  readonly url: string
  readonly status: number
  readonly contentType: string | undefined
  readonly bodyText: string
}

/** A response that the specification does not allow. */
export class SpecViolation extends Error {
  constructor(response: CheckedResponse, operation: SpecOperation | undefined, problem: string) {
    const where = operation === undefined ? 'not in the specification' : `${operation.operationId}, ${operation.file}`
    const body = response.bodyText.length > 2000 ? `${response.bodyText.slice(0, 2000)}…` : response.bodyText
    super(`${response.method} ${response.url} (${where}) answered ${response.status}: ${problem}\n${body}`)
    this.name = 'SpecViolation'
  }
}

/** Errors that any operation may answer (client-server API § Standard error response), besides those that it documents. */
const COMMON_ERRORS: ReadonlyMap<number, readonly string[]> = new Map([
  [400, []],
  [401, ['M_UNKNOWN_TOKEN', 'M_MISSING_TOKEN', 'M_USER_LOCKED', 'M_UNAUTHORIZED']],
  [403, []],
  [404, ['M_NOT_FOUND', 'M_UNRECOGNIZED']],
  [405, ['M_UNRECOGNIZED']],
  [413, ['M_TOO_LARGE']],
  [429, ['M_LIMIT_EXCEEDED']],
  // Another server could not be reached, or answered nonsense; a test must expect this status by name to accept it, as the next one.
  [502, ['M_UNKNOWN', 'M_TOO_LARGE']],
  // The disk is full.
  [507, ['M_UNKNOWN']],
])

/** Holds a validator for every documented response of the client-server and server-server APIs; compiles them when used. */
export class ResponseChecker {
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true, logger: false, validateFormats: true })
  readonly #validators = new Map<string, ValidateFunction>()
  readonly #matcher: PathMatcher
  readonly operations: readonly SpecOperation[]

  static #shared: ResponseChecker | undefined

  /** The one of this process: reading and compiling the specification takes a second. */
  static shared(): ResponseChecker {
    return (ResponseChecker.#shared ??= new ResponseChecker())
  }

  constructor() {
    for (const [name, format] of Object.entries(SPEC_FORMATS)) this.#ajv.addFormat(name, format)
    this.operations = [...loadOperations('client-server'), ...loadOperations('server-server')]
    this.#matcher = new PathMatcher(this.operations)
  }

  /** The operations that a request may mean; none if the specification does not have it. */
  operationsFor(method: string, url: string): SpecOperation[] {
    return this.#matcher.find(method, url)
  }

  /**
   * Throws SpecViolation unless the specification allows this answer: a documented status (or an error that any
   * operation may give), the documented content type, a body that fits the schema. Errors always need `errcode` and
   * `error`, on unknown paths too. Returns the operation.
   */
  check(response: CheckedResponse): SpecOperation | undefined {
    let firstViolation: SpecViolation | undefined
    const operations = this.operationsFor(response.method, response.url)
    for (const operation of operations.length === 0 ? [undefined] : operations) {
      const problem = this.#problem(response, operation)
      if (problem === undefined) return operation
      firstViolation ??= new SpecViolation(response, operation, problem)
    }
    throw firstViolation ?? new Error('no operation was tried')
  }

  #problem(response: CheckedResponse, operation: SpecOperation | undefined): string | undefined {
    if (response.method.toUpperCase() === 'HEAD') return undefined
    const documented = operation === undefined ? undefined : documentedResponse(operation, response.status)
    if (response.status >= 400) return this.#errorProblem(response, operation, documented)
    if (operation === undefined) return undefined
    if (documented === undefined) return 'the specification does not document this status'
    return this.#contentProblem(response, operation, documented)
  }

  #contentProblem(response: CheckedResponse, operation: SpecOperation, documented: SpecObject): string | undefined {
    const content = documented['content']
    if (!isSpecObject(content)) return undefined
    const json = content['application/json']
    if (!isSpecObject(json)) return undefined
    const body = parseJsonBody(response)
    if ('problem' in body) return body.problem
    return this.#schemaProblem(
      `${operation.surface} ${operation.operationId} ${response.status}`,
      json['schema'] ?? true,
      body.value,
    )
  }

  #errorProblem(
    response: CheckedResponse,
    operation: SpecOperation | undefined,
    documented: SpecObject | undefined,
  ): string | undefined {
    // Pages for people are not the specification's.
    if (operation === undefined && response.contentType?.startsWith('text/html')) return undefined
    const body = parseJsonBody(response)
    if ('problem' in body) return body.problem
    const value = body.value
    if (!isSpecObject(value)) return 'an error must be a JSON object'
    const isAuthenticationStage = response.status === 401 && Array.isArray(value['flows'])
    const errcode = value['errcode']
    if (errcode !== undefined || !isAuthenticationStage) {
      if (typeof errcode !== 'string' || !/^[A-Z][A-Z0-9]*_[A-Z0-9_.]+$/.test(errcode))
        return 'an error needs an errcode such as M_UNKNOWN'
      if (typeof value['error'] !== 'string' || value['error'] === '') return 'an error needs an explanation in "error"'
    }
    if (operation === undefined) return undefined
    const common = COMMON_ERRORS.get(response.status)
    const isCommon = common !== undefined && (common.length === 0 || common.includes(String(errcode)))
    if (isCommon && !isAuthenticationStage) return undefined
    const allowed = documented ?? (isAuthenticationStage && takesAuthData(operation) ? this.#authenticationStage() : undefined)
    if (allowed === undefined) return `the specification documents neither this status nor ${String(errcode)} with it`
    return this.#contentProblem(response, operation, allowed)
  }

  /** What operations answer that need user-interactive authentication; of some the specification tells it in words only. */
  #authenticationStage(): SpecObject | undefined {
    return this.operations.find((operation) => operation.operationId === 'deleteDevices')?.responses.get('401')
  }

  #schemaProblem(key: string, schema: SpecValue, value: unknown): string | undefined {
    let validate = this.#validators.get(key)
    if (validate === undefined) {
      validate = this.#ajv.compile(isSpecObject(schema) ? allowOverlap(schema) : {})
      this.#validators.set(key, validate)
    }
    return validate(value) ? undefined : readableErrors(validate.errors ?? [], value)
  }
}

function takesAuthData(operation: SpecOperation): boolean {
  const content = operation.requestBody?.['content']
  const json = isSpecObject(content) ? content['application/json'] : undefined
  const schema = isSpecObject(json) ? json['schema'] : undefined
  const properties = isSpecObject(schema) ? schema['properties'] : undefined
  return isSpecObject(properties) && Object.hasOwn(properties, 'auth')
}

/** Where an answer may be "any object" or "an event", the specification says oneOf, but an event is an object too. */
function allowOverlap(schema: SpecObject): SpecObject {
  const { oneOf, ...rest } = schema
  return oneOf === undefined ? schema : { ...rest, anyOf: oneOf }
}

function documentedResponse(operation: SpecOperation, status: number): SpecObject | undefined {
  return (
    operation.responses.get(String(status)) ??
    operation.responses.get(`${Math.floor(status / 100)}XX`) ??
    operation.responses.get('DEFAULT')
  )
}

function parseJsonBody(response: CheckedResponse): { value: unknown } | { problem: string } {
  if (response.contentType !== 'application/json') {
    return { problem: `the content type must be application/json, not ${response.contentType ?? 'missing'}` }
  }
  try {
    return { value: JSON.parse(response.bodyText) }
  } catch (error) {
    return { problem: `the body is not JSON: ${String(error)}` }
  }
}

function readableErrors(errors: readonly ErrorObject[], value: unknown): string {
  const lines = errors.slice(0, 10).map((error) => {
    const found = JSON.stringify(valueAt(value, error.instancePath)) ?? 'nothing'
    const details = error.keyword === 'enum' ? ` ${JSON.stringify(error.params['allowedValues'])}` : ''
    return `  ${error.instancePath || 'the body'} ${error.message ?? error.keyword}${details}; found ${found.slice(0, 200)}`
  })
  return ['the body does not fit the schema', ...lines].join('\n')
}

function valueAt(value: unknown, pointer: string): unknown {
  let current = value
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
    current = typeof current === 'object' && current !== null ? (current as Record<string, unknown>)[key] : undefined
  }
  return current
}
