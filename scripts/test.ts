import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import config from '../vitest.config.ts'
import { runChecks } from './check.ts'
import { ROOT } from './check/run.ts'
import { installSystemPackages } from './system-packages.ts'
import { readTestReport } from './test-report.ts'
import type { FailedTest, TestReport } from './test-report.ts'

// Everything that CI runs, ending with one line: `N passed, N failed`. Arguments choose parts: `check` and the names in vitest.config.ts.

interface Result {
  readonly passed: number
  readonly failed: number
}

// Where every integration test runs with workers, none of them needs to do it again.
const isAllWithWorkers = process.env['TEST_TOPOLOGY'] === 'workers'
const vitestProjects = listVitestProjects().filter((project) => !(isAllWithWorkers && project === 'workers'))
const parts = process.argv.slice(2)
const known = ['check', ...vitestProjects]
const chosen = parts.length === 0 ? known : parts
const unknown = chosen.filter((part) => !known.includes(part))
if (unknown.length > 0) {
  process.stderr.write(`There is no part ${unknown.join(', ')}; there are ${known.join(', ')}\n`)
  process.exit(64)
}

const lacking = chosen.some((part) => part !== 'check' && part !== 'unit') ? installSystemPackages(chosen) : 0
/** More than these are no accident. */
const FILES_TRIED_AGAIN_MAX = 6
const broken: FailedTest[] = []
const unsteady: FailedTest[] = []
let passed = 0
let failed = lacking
for (const part of chosen) {
  process.stdout.write(`\n=== ${part} ===\n`)
  const result = part === 'check' ? await runChecks() : await runVitest(part)
  passed += result.passed
  failed += result.failed
}
writeFailures('PASSED ONLY AT THE SECOND RUN', unsteady)
writeFailures('FAILED', broken)
if (passed + failed === 0) process.stdout.write('\nNothing ran: that is no success.\n')
process.stdout.write(`\n${passed} passed, ${failed} failed\n`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)

function listVitestProjects(): string[] {
  const projects = (config as { test?: { projects?: readonly { test?: { name?: string } }[] } }).test?.projects ?? []
  return projects.flatMap((project) => project.test?.name ?? [])
}

/**
 * Runs one project and counts its tests. Files of real servers that failed run once more, alone, after the rest, so that a moment
 * without CPU does not count as a defect of ours; what only passed then is named at the end.
 */
async function runVitest(project: string): Promise<Result> {
  const first = await runTestFiles(project, [])
  const files = [...new Set(first.failures.map(({ file }) => file))]
  const isFiles = files.length > 0 && files.every((file) => file.startsWith(ROOT))
  if (!isFiles || files.length > FILES_TRIED_AGAIN_MAX || project === 'unit') return settle(project, first)
  process.stdout.write(`\n=== ${project}: ${files.length} failed once more, alone ===\n`)
  const second = await runTestFiles(project, ['--no-file-parallelism', ...files])
  const stillFailing = new Set(second.failures.map(({ file, name }) => `${file} ${name}`))
  unsteady.push(...first.failures.filter(({ file, name }) => !stillFailing.has(`${file} ${name}`)))
  const steady = first.failures.filter(({ file, name }) => stillFailing.has(`${file} ${name}`))
  const known = new Set(steady.map(({ file, name }) => `${file} ${name}`))
  const all = [...steady, ...second.failures.filter(({ file, name }) => !known.has(`${file} ${name}`))]
  return settle(project, { passed: first.passed + first.failures.length - steady.length, failures: all })
}

function settle(project: string, report: TestReport): Result {
  broken.push(...report.failures.map((failure) => ({ ...failure, name: `${project}: ${failure.name}` })))
  return { passed: report.passed, failed: report.failures.length }
}

async function runTestFiles(project: string, args: readonly string[]): Promise<TestReport> {
  const directory = mkdtempSync(join(tmpdir(), 'ganglion-test-'))
  const path = join(directory, 'report.json')
  try {
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${path}`]
    const status = await runInherited(['run', '--project', project, ...reporters, ...args])
    const report = readTestReport(path)
    // An error outside of any test, or no report at all.
    return status !== 0 && report.failures.length === 0
      ? { ...report, failures: [{ file: project, name: 'an error outside of any test', message: '' }] }
      : report
  } finally {
    rmSync(directory, { recursive: true })
  }
}

function writeFailures(title: string, failures: readonly FailedTest[]): void {
  for (const { file, name, message } of failures) {
    process.stdout.write(`\n${title}: ${relative(ROOT, file)}\n  ${name}\n${message.replaceAll(/^/gm, '    ')}\n`)
  }
}

function runInherited(args: readonly string[]): Promise<number> {
  const child = spawn(join(ROOT, 'node_modules', '.bin', 'vitest'), args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (status) => resolve(status ?? 1))
  })
}
