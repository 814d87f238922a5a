import { readFileSync } from 'node:fs'

/** One failed test, or a file that did not load. */
export interface FailedTest {
  /** Absolute path. */
  readonly file: string
  readonly name: string
  /** The first lines of what went wrong. */
  readonly message: string
}

/** What one run of the tests came to. */
export interface TestReport {
  readonly passed: number
  readonly failures: readonly FailedTest[]
}

interface VitestReport {
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message?: string
    readonly assertionResults: readonly {
      readonly status: string
      readonly fullName: string
      readonly failureMessages?: string[]
    }[]
  }[]
}

const MESSAGE_LINES = 12

/** Reads what vitest's JSON reporter wrote; a file that does not even load counts as one failure, and so does a missing report. */
export function readTestReport(path: string): TestReport {
  let files: VitestReport['testResults']
  try {
    files = (JSON.parse(readFileSync(path, 'utf8')) as VitestReport).testResults
  } catch (error) {
    return { passed: 0, failures: [{ file: path, name: 'the report of the tests', message: String(error) }] }
  }
  const failures = files.flatMap((file): FailedTest[] => {
    const failed = file.assertionResults.filter(({ status }) => status === 'failed')
    if (failed.length === 0 && file.status === 'failed')
      return [{ file: file.name, name: 'the file itself', message: firstLines(file.message) }]
    return failed.map((test) => ({ file: file.name, name: test.fullName, message: firstLines(test.failureMessages?.[0]) }))
  })
  return { passed: files.flatMap((file) => file.assertionResults).filter(({ status }) => status === 'passed').length, failures }
}

function firstLines(text = ''): string {
  return text.split('\n').slice(0, MESSAGE_LINES).join('\n')
}
