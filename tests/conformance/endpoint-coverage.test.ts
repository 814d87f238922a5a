import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ENDPOINTS } from '../../src/api/endpoints.ts'
import { environmentVariable, repositoryPath } from '../kit/environment.ts'
import { specDirectory } from '../kit/spec/spec-files.ts'

interface ListedOperation {
  readonly surface: string
  readonly method: string
  readonly path: string
  readonly operationId: string
}

/** The surfaces that a homeserver serves. */
const SURFACES = ['client-server', 'server-server']

const MISSING_FILE = repositoryPath('tests/conformance/missing-operations.txt')
const MISSING_ADMIN_FILE = repositoryPath('tests/conformance/missing-admin-endpoints.txt')

const listed = readListedOperations()
const served = new Set(ENDPOINTS.flatMap((endpoint) => endpoint.paths.map((path) => `${endpoint.method} ${shapeOf(path)}`)))

describe('the endpoints', () => {
  test('are all of the specification but those in missing-operations.txt, which may only shrink', () => {
    const missing = listed
      .filter((operation) => !served.has(`${operation.method} ${shapeOf(operation.path)}`))
      .map(lineOf)
      .toSorted()
    if (environmentVariable('GANGLION_SHRINK_MISSING') !== undefined) shrinkMissingFile(MISSING_FILE, missing)
    expect(readLines(MISSING_FILE)).toEqual(missing)
  })

  test('are all of the admin API that Synapse documents but those in missing-admin-endpoints.txt, which may only shrink (AD-21)', () => {
    const missing = readLines(repositoryPath('tests/conformance/admin-endpoints.txt')).filter(
      (line) => !served.has(shapeOf(line)),
    )
    if (environmentVariable('GANGLION_SHRINK_MISSING') !== undefined) shrinkMissingFile(MISSING_ADMIN_FILE, missing)
    expect(readLines(MISSING_ADMIN_FILE)).toEqual(missing)
  })

  test("carry the specification's operationId", () => {
    const byShape = new Map<string, string[]>()
    for (const operation of listed) {
      const shape = `${operation.method} ${shapeOf(operation.path)}`
      byShape.set(shape, [...(byShape.get(shape) ?? []), operation.operationId])
    }
    const wrong: string[] = []
    for (const endpoint of ENDPOINTS) {
      const ids = endpoint.paths.flatMap((path) => byShape.get(`${endpoint.method} ${shapeOf(path)}`) ?? [])
      if (ids.length > 0 && !ids.includes(endpoint.operationId))
        wrong.push(`${endpoint.operationId} should be ${ids.join(' or ')}`)
    }
    expect(wrong).toEqual([])
  })

  test('do not claim one method and path twice', () => {
    const seen = new Set<string>()
    const twice: string[] = []
    for (const endpoint of ENDPOINTS) {
      for (const path of endpoint.paths) {
        const shape = `${endpoint.method} ${shapeOf(path)}`
        if (seen.has(shape)) twice.push(`${shape} (${endpoint.operationId})`)
        seen.add(shape)
      }
    }
    expect(twice).toEqual([])
  })
})

function readListedOperations(): ListedOperation[] {
  const [header = '', ...rows] = readFileSync(join(specDirectory(), 'endpoints.tsv'), 'utf8').trimEnd().split('\n')
  const columns = header.split('\t')
  const operations = rows.map((row) => {
    const cells = row.split('\t')
    const cell = (name: string): string => cells[columns.indexOf(name)] ?? ''
    return { surface: cell('surface'), method: cell('method'), path: cell('path').trim(), operationId: cell('operation') }
  })
  const wanted = operations.filter((operation) => SURFACES.includes(operation.surface))
  if (wanted.length < 200) throw new Error(`endpoints.tsv lists only ${wanted.length} operations of a homeserver`)
  return wanted
}

/** Parameters have other names in other places: only where they stand counts. A slash at the end does not. */
function shapeOf(path: string): string {
  return path.replaceAll(/\{[^}]+\}|:[A-Za-z]\w*/g, '*').replace(/\/$/, '')
}

function lineOf(operation: ListedOperation): string {
  return `${operation.surface} ${operation.method} ${operation.path} ${operation.operationId}`
}

function readLines(file: string): string[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
}

/** Takes out what is served now. Never adds a line: an endpoint that went missing is a failure. */
function shrinkMissingFile(file: string, missing: readonly string[]): void {
  const lines = readFileSync(file, 'utf8').split('\n')
  writeFileSync(file, lines.filter((line) => line === '' || line.startsWith('#') || missing.includes(line)).join('\n'))
}
