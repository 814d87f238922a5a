import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { isSpecObject, specDirectory, SpecFiles } from './spec-files.ts'
import type { SpecObject, SpecValue } from './spec-files.ts'

export type Surface = 'client-server' | 'server-server'

/** One operation of the specification with all references resolved. */
export interface SpecOperation {
  readonly surface: Surface
  readonly operationId: string
  readonly method: string
  /** With the base path, parameters in braces: `/_matrix/client/v3/rooms/{roomId}/send/…`. */
  readonly path: string
  /** The file that it stands in, without folders. */
  readonly file: string
  /** Whether a request needs an access token (or, between servers, a signature). */
  readonly authentication: 'required' | 'optional' | 'none'
  readonly parameters: readonly SpecParameter[]
  readonly requestBody: SpecObject | undefined
  /** Keyed by status as text; a class such as `5XX` is possible. */
  readonly responses: ReadonlyMap<string, SpecObject>
}

export interface SpecParameter {
  readonly name: string
  readonly in: string
  readonly required: boolean
  readonly schema: SpecValue
}

const METHODS = ['get', 'put', 'post', 'delete', 'patch', 'head', 'options']

/** Reads every operation of one surface of the specification. A path may occur twice: some files tell two halves of one operation. */
export function loadOperations(surface: Surface): SpecOperation[] {
  const directory = join(specDirectory(), 'api', surface)
  const files = new SpecFiles()
  const operations: SpecOperation[] = []
  for (const file of readdirSync(directory).toSorted()) {
    if (!file.endsWith('.yaml')) continue
    const document = files.load(join(directory, file))
    const paths = document['paths']
    if (!isSpecObject(paths)) continue
    const base = basePath(document)
    for (const [path, item] of Object.entries(paths)) {
      if (!isSpecObject(item)) continue
      for (const method of METHODS) {
        const operation = item[method]
        if (!isSpecObject(operation)) continue
        operations.push(readOperation({ surface, file, method, path: base + path.trim(), item, operation }))
      }
    }
  }
  return operations
}

function readOperation(source: {
  surface: Surface
  file: string
  method: string
  path: string
  item: SpecObject
  operation: SpecObject
}): SpecOperation {
  const { operation, item } = source
  const responses = new Map<string, SpecObject>()
  for (const [status, response] of Object.entries(isSpecObject(operation['responses']) ? operation['responses'] : {})) {
    if (isSpecObject(response)) responses.set(status.toUpperCase(), response)
  }
  return {
    surface: source.surface,
    operationId: String(operation['operationId']),
    method: source.method.toUpperCase(),
    path: source.path,
    file: source.file,
    authentication: readAuthentication(operation['security']),
    parameters: [...readParameters(item['parameters']), ...readParameters(operation['parameters'])],
    requestBody: isSpecObject(operation['requestBody']) ? operation['requestBody'] : undefined,
    responses,
  }
}

function readAuthentication(security: SpecValue | undefined): SpecOperation['authentication'] {
  if (!Array.isArray(security) || security.length === 0) return 'none'
  // An empty requirement among them means that there may be none.
  return security.some((requirement) => isSpecObject(requirement) && Object.keys(requirement).length === 0)
    ? 'optional'
    : 'required'
}

function readParameters(value: SpecValue | undefined): SpecParameter[] {
  if (!Array.isArray(value)) return []
  return value.filter(isSpecObject).map((parameter) => ({
    name: String(parameter['name']),
    in: String(parameter['in']),
    required: parameter['required'] === true,
    schema: parameter['schema'] ?? true,
  }))
}

function basePath(document: SpecObject): string {
  const servers = document['servers']
  const server = Array.isArray(servers) ? servers[0] : undefined
  if (!isSpecObject(server)) return ''
  const variables = server['variables']
  const base = isSpecObject(variables) ? variables['basePath'] : undefined
  return isSpecObject(base) && typeof base['default'] === 'string' ? base['default'] : ''
}
