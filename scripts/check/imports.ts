/** The folders of src/, in the order in which they may import: each from itself and from those before it. */
export const LAYERS = [
  'util',
  'templates',
  'protocol',
  'config',
  'http',
  'storage',
  'streams',
  'replication',
  'services',
  'api',
  'process',
  'cli',
] as const

// The list of all streams is names and nothing else: a table may say which stream its rows belong to.
const OPEN_TO_ALL = ['src/streams/streams.ts']

/** One import of a file of ours. */
interface Import {
  readonly target: string
  readonly isTypeOnly: boolean
}

// An import stands at the beginning of a line; a dynamic one anywhere.
const STATIC_IMPORT = /^(import|export)(\s+type)?\s[^'"`]*?from\s+'(\.[^']+)'/gm
const DYNAMIC_IMPORT = /\bimport\('(\.[^']+)'\)/g

/**
 * Finds imports that point upward in the layers, cycles, imports of tests by the program, and imports of what is not there.
 * `files` maps paths (`src/util/clock.ts`) to their text.
 */
export function findImportProblems(files: ReadonlyMap<string, string>): string[] {
  const problems: string[] = []
  const values = new Map<string, string[]>()
  for (const [path, text] of files) {
    const imports = listImports(path, text)
    values.set(
      path,
      imports.filter(({ isTypeOnly }) => !isTypeOnly).map(({ target }) => target),
    )
    for (const { target } of imports) {
      const problem = checkImport(path, target, files)
      if (problem !== undefined) problems.push(`${path} imports ${target}: ${problem}`)
    }
  }
  return [...problems, ...findCycles(values)]
}

function listImports(path: string, text: string): Import[] {
  const imports: Import[] = []
  for (const match of text.matchAll(STATIC_IMPORT))
    imports.push({ target: resolve(path, match[3] ?? ''), isTypeOnly: match[2] !== undefined })
  for (const match of text.matchAll(DYNAMIC_IMPORT)) imports.push({ target: resolve(path, match[1] ?? ''), isTypeOnly: true })
  return imports
}

function resolve(from: string, specifier: string): string {
  return new URL(specifier, `file:///${from}`).pathname.slice(1)
}

function checkImport(path: string, target: string, files: ReadonlyMap<string, string>): string | undefined {
  if (/^(src|tests|scripts)\/.*\.ts$/.test(target) && !files.has(target)) return 'there is no such file'
  if (!path.startsWith('src/')) return undefined
  if (/^(tests|scripts)\//.test(target))
    return path.endsWith('.test.ts') ? undefined : 'the program does not import tests and scripts'
  const own = layerOf(path)
  const other = layerOf(target)
  if (own === -1 || other === -1)
    return target.startsWith('src/') ? 'a folder that is no layer needs a decision record' : undefined
  if (LAYERS[other] === 'http' && ['storage', 'streams'].includes(LAYERS[own] ?? ''))
    return 'storage and streams do not know HTTP'
  return other > own && !OPEN_TO_ALL.includes(target)
    ? `${LAYERS[own]} may not import from ${LAYERS[other]}, which is above it`
    : undefined
}

function layerOf(path: string): number {
  const [root, folder] = path.split('/')
  return root === 'src' ? LAYERS.findIndex((layer) => layer === folder) : -1
}

/** Type imports and imports at run time are no cycles: they do not decide in which order modules start. */
function findCycles(imports: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>()
  const trail: string[] = []
  const problems: string[] = []
  const visit = (path: string): void => {
    const start = trail.indexOf(path)
    if (start !== -1) problems.push(`cycle: ${[...trail.slice(start), path].join(' -> ')}`)
    if (start !== -1 || done.has(path)) return
    trail.push(path)
    for (const target of imports.get(path) ?? []) visit(target)
    trail.pop()
    done.add(path)
  }
  for (const path of imports.keys()) visit(path)
  return problems
}
