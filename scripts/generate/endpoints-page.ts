import { ENDPOINTS } from '../../src/api/endpoints.ts'
import { listFiles, readText } from '../check/run.ts'

const INTRODUCTION = `# Endpoints

<!-- Made by \`npm run generate\` from src/api/endpoints.ts. Do not edit. -->

Everything that a listener answers, by path. The first path is the current one, the others are historical or unstable. The **group** is a key
of [src/api/endpoint-groups.ts](../src/api/endpoint-groups.ts), which says who may serve it. What the specification has and we do not
stands in [tests/conformance/missing-operations.txt](../tests/conformance/missing-operations.txt).
`

/** Where the endpoints for other servers are. */
const SERVER_FOLDERS = ['src/api/federation/', 'src/api/keys/']

/** Renders docs/endpoints.md from the list of all endpoints. Throws where no file holds an operation of the list. */
export function renderEndpointsPage(): string {
  const files = findFilesOfOperations()
  const chapters = Object.entries(Object.groupBy(ENDPOINTS, (endpoint) => endpoint.resource)).map(
    ([resource, endpoints = []]) => {
      const rows = endpoints
        .toSorted((a, b) => compare(a.paths[0] ?? '', b.paths[0] ?? '') || compare(a.method, b.method))
        .map((endpoint) => {
          const file = files.get(operationKey(endpoint.operationId, isForServers(endpoint.paths[0] ?? '')))
          if (file === undefined) throw new Error(`No file below src/api/ holds the operation ${endpoint.operationId}`)
          const paths = endpoint.paths.map((path) => `\`${path}\``).join('<br>')
          const link = `[${file.replace('src/api/', '')}](../${file})`
          return `| ${endpoint.method} | ${paths} | ${endpoint.operationId} | ${endpoint.group} | ${link} |`
        })
      const head = '| Method | Paths | Operation | Group | File |\n| --- | --- | --- | --- | --- |'
      return `## Listener resource \`${resource}\`: ${rows.length}\n\n${head}\n${rows.join('\n')}`
    },
  )
  return `${INTRODUCTION}\n${chapters.join('\n\n')}\n`
}

function findFilesOfOperations(): ReadonlyMap<string, string> {
  const files = new Map<string, string>()
  for (const path of listFiles('src/api', '.ts')) {
    for (const [, operationId = ''] of readText(path).matchAll(/operationId: '([^']+)'/g)) {
      files.set(
        operationKey(
          operationId,
          SERVER_FOLDERS.some((folder) => path.startsWith(folder)),
        ),
        path,
      )
    }
  }
  return files
}

/** The client API and the federation API have operations of the same name. */
function operationKey(operationId: string, isForServers: boolean): string {
  return `${isForServers ? 'server' : 'client'} ${operationId}`
}

function isForServers(path: string): boolean {
  return /^\/_matrix\/(?:federation|key|policy)\//.test(path)
}

/** By code point, so that the page is the same under every locale. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
