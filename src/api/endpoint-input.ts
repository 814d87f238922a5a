import { Ajv } from 'ajv'
import type { ErrorObject, ValidateFunction } from 'ajv'
import type { TSchema } from 'typebox'
import type { HttpRequest } from '../http/endpoint.ts'
import { MatrixError } from '../protocol/errors.ts'

type Place = 'path' | 'query' | 'body'

const bodyAjv = new Ajv({ strict: false, allErrors: false })
const textAjv = new Ajv({ strict: false, coerceTypes: 'array', useDefaults: true })

/**
 * Gives the function that checks a schema. Ajv compiles it when it is first asked for, and keeps it: most of the endpoints
 * are never called in most of the processes, and all of them together would take 10 MB.
 */
export type InputCheck = () => ValidateFunction

/** Checks the schema of a JSON body: types must be as they are. */
export function bodyCheck(schema: TSchema): InputCheck {
  return () => bodyAjv.compile(schema)
}

/** Checks the schema of path or query parameters: texts become numbers, booleans and arrays where the schema says so. */
export function textCheck(schema: TSchema): InputCheck {
  return () => textAjv.compile(schema)
}

/** The query as an object; repeated parameters are arrays. */
export function queryObject(request: HttpRequest): Record<string, unknown> {
  const out: Record<string, unknown> = Object.create(null) as Record<string, unknown>
  for (const [name, values] of request.query) out[name] = values.length === 1 ? values[0] : values
  return out
}

/** Returns the value as its schema made it. Throws M_MISSING_PARAM, M_INVALID_PARAM; M_BAD_JSON for a body of another type. */
export function checkInput(check: InputCheck, value: unknown, where: Place): unknown {
  const validate = check()
  if (!validate(value)) throw schemaError(validate.errors?.[0], where)
  return value
}

function schemaError(error: ErrorObject | undefined, where: Place): MatrixError {
  if (error?.keyword === 'required') {
    return new MatrixError(
      'M_MISSING_PARAM',
      `Missing parameter: ${String((error.params as { missingProperty?: unknown }).missingProperty)}`,
    )
  }
  const name = error?.instancePath.slice(1).replaceAll('/', '.') ?? ''
  const message = `${name === '' ? `The ${where}` : `'${name}' in the ${where}`} ${error?.message ?? 'is invalid'}`
  return new MatrixError(where === 'body' && error?.keyword === 'type' ? 'M_BAD_JSON' : 'M_INVALID_PARAM', message)
}
