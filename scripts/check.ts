import { pathToFileURL } from 'node:url'
import { findImportProblems } from './check/imports.ts'
import { listFiles, readText, runTool } from './check/run.ts'
import { findStaleFiles } from './generate.ts'

/** How one check went: at how many things it looked, and what it found. */
interface Finding {
  readonly looked: number
  readonly problems: readonly string[]
}

const PROBLEMS_SHOWN_MAX = 60

const CHECKS: Readonly<Record<string, () => Promise<Finding>>> = {
  types: checkTypes,
  lint: checkLint,
  format: checkFormat,
  imports: () => Promise.resolve(checkImports()),
  'dead code': checkDeadCode,
  'generated files': async () => findStaleFiles(),
}

/** Runs all checks. One that looked at nothing has failed: a wrong folder must not look like success. */
export async function runChecks(names: readonly string[] = Object.keys(CHECKS)): Promise<{ passed: number; failed: number }> {
  let passed = 0
  let failed = 0
  for (const name of names) {
    const started = performance.now()
    const finding = await CHECKS[name]?.()
    if (finding === undefined)
      throw new Error(`There is no check ${JSON.stringify(name)}; there are ${Object.keys(CHECKS).join(', ')}`)
    const problems = finding.looked === 0 ? ['it looked at nothing', ...finding.problems] : finding.problems
    const tookMs = Math.round(performance.now() - started)
    process.stdout.write(`${problems.length === 0 ? 'ok    ' : 'FAILED'} ${name}: ${finding.looked} looked at, ${tookMs} ms\n`)
    for (const problem of problems.slice(0, PROBLEMS_SHOWN_MAX))
      process.stdout.write(`       ${problem.replaceAll('\n', '\n       ')}\n`)
    if (problems.length > PROBLEMS_SHOWN_MAX) process.stdout.write(`       … and ${problems.length - PROBLEMS_SHOWN_MAX} more\n`)
    if (problems.length === 0) passed += 1
    else failed += 1
  }
  if (passed + failed === 0) failed = 1
  return { passed, failed }
}

async function checkTypes(): Promise<Finding> {
  const { status, stdout, stderr } = await runTool('tsc', ['-p', '.', '--listFiles', '--pretty', 'false'])
  const lines = `${stdout}${stderr}`.split('\n').filter((line) => line !== '')
  const isFile = (line: string): boolean => /^(\/|[A-Za-z]:).*\.([cm]?ts|json)$/.test(line)
  const problems = lines.filter((line) => !isFile(line))
  if (status !== 0 && problems.length === 0) problems.push(`the compiler ended with status ${status}`)
  return { looked: lines.filter((line) => isFile(line) && !line.includes('/node_modules/')).length, problems }
}

async function checkLint(): Promise<Finding> {
  const { stdout, stderr, status } = await runTool('oxlint', ['--format', 'json'])
  if (!stdout.startsWith('{')) return { looked: 0, problems: [stderr || stdout || `the linter ended with status ${status}`] }
  interface Report {
    readonly number_of_files: number
    readonly diagnostics: readonly {
      filename: string
      code?: string
      message: string
      labels: readonly { span: { line: number } }[]
    }[]
  }
  const report = JSON.parse(stdout) as Report
  const problems = report.diagnostics.map(
    ({ filename, code, message, labels }) => `${filename}:${labels[0]?.span.line ?? 0}: ${message} (${code ?? 'syntax'})`,
  )
  if (status !== 0 && problems.length === 0) problems.push(`the linter ended with status ${status}: ${stderr}`)
  return { looked: report.number_of_files, problems }
}

async function checkFormat(): Promise<Finding> {
  const { stdout, stderr, status } = await runTool('oxfmt', ['--check'])
  const text = `${stdout}${stderr}`
  const looked = Number(/on (\d+) files?/.exec(text)?.[1] ?? 0)
  const problems = [...text.matchAll(/^(\S+\.\w+) \(\d+ms\)$/gm)].map(
    ([, path]) => `${path} is not formatted; \`npm run format\` does it`,
  )
  if (status !== 0 && problems.length === 0) problems.push(text)
  return { looked, problems }
}

function checkImports(): Finding {
  const files = new Map(
    ['src', 'tests', 'scripts'].flatMap((folder) => listFiles(folder, '.ts')).map((path) => [path, readText(path)]),
  )
  return { looked: files.size, problems: findImportProblems(files) }
}

async function checkDeadCode(): Promise<Finding> {
  const { stdout, stderr, status } = await runTool('knip', ['--no-progress', '--reporter', 'compact', '--no-config-hints'])
  const problems = status === 0 ? [] : `${stdout}${status > 1 ? stderr : ''}`.split('\n').filter((line) => line.trim() !== '')
  if (status !== 0 && problems.length === 0) problems.push(`knip ended with status ${status}: ${stderr}`)
  return { looked: listFiles('src', '.ts').length, problems }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { failed } = await runChecks(process.argv.length > 2 ? process.argv.slice(2) : undefined)
  process.exit(failed === 0 ? 0 : 1)
}
