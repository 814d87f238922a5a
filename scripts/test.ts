import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import config from '../vitest.config.ts'
import { runChecks } from './check.ts'
import { ROOT } from './check/run.ts'
import { installSystemPackages } from './system-packages.ts'

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
let passed = 0
let failed = lacking
for (const part of chosen) {
  process.stdout.write(`\n=== ${part} ===\n`)
  const result = part === 'check' ? await runChecks() : await runVitest(part)
  passed += result.passed
  failed += result.failed
}
if (passed + failed === 0) process.stdout.write('\nNothing ran: that is no success.\n')
process.stdout.write(`\n${passed} passed, ${failed} failed\n`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)

function listVitestProjects(): string[] {
  const projects = (config as { test?: { projects?: readonly { test?: { name?: string } }[] } }).test?.projects ?? []
  return projects.flatMap((project) => project.test?.name ?? [])
}

/** Runs one project and counts its tests; a file that does not even load counts as one failure. */
async function runVitest(project: string): Promise<Result> {
  const directory = mkdtempSync(join(tmpdir(), 'ganglion-test-'))
  const report = join(directory, 'report.json')
  try {
    const status = await runInherited([
      'run',
      '--project',
      project,
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
    ])
    const result = countTests(report)
    // An error outside of any test, or no report at all.
    return status !== 0 && result.failed === 0 ? { ...result, failed: 1 } : result
  } finally {
    rmSync(directory, { recursive: true })
  }
}

function countTests(report: string): Result {
  interface Report {
    readonly testResults: readonly { status: string; assertionResults: readonly { status: string }[] }[]
  }
  let files: Report['testResults']
  try {
    files = (JSON.parse(readFileSync(report, 'utf8')) as Report).testResults
  } catch (error) {
    process.stdout.write(`No report of the tests: ${String(error)}\n`)
    return { passed: 0, failed: 1 }
  }
  const tests = files.flatMap((file) => file.assertionResults)
  const unloadable = files.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  ).length
  return {
    passed: tests.filter((test) => test.status === 'passed').length,
    failed: tests.filter((test) => test.status === 'failed').length + unloadable,
  }
}

function runInherited(args: readonly string[]): Promise<number> {
  const child = spawn(join(ROOT, 'node_modules', '.bin', 'vitest'), args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (status) => resolve(status ?? 1))
  })
}
