import { globSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

/**
 * unit: beside the code, no database, no network. integration: real servers on one PostgreSQL, made by the global setup.
 * partners: our server and a Synapse, installed once by the global setup. workers: the integration tests that start servers once more,
 * with each server as ten processes behind nginx; with TEST_TOPOLOGY=workers `integration` does that.
 */
export default defineConfig({
  test: {
    silent: 'passed-only',
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'tests/{kit,chaos}/**/*.test.ts', 'tests/conformance/**/*.test.ts'],
          // Without state of their own, test files can share a thread: a fifth of the time.
          pool: 'threads',
          isolate: false,
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['tests/{integration,cluster,fuzz,crash,clients,blackbox,bench}/**/*.test.ts'],
          globalSetup: ['tests/kit/global-setup.ts'],
          // Generous: two slow cores are shared by servers, PostgreSQL and other test files.
          testTimeout: 120_000,
          hookTimeout: 180_000,
          // Each file has servers with connections of their own, and PostgreSQL has 200 for all.
          maxWorkers: Math.min(4, availableParallelism()),
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'partners',
          include: ['tests/partners/**/*.test.ts'],
          globalSetup: ['tests/kit/global-setup.ts', 'tests/kit/synapse/global-setup.ts'],
          testTimeout: 120_000,
          hookTimeout: 180_000,
          // Each file has a Synapse beside our server.
          maxWorkers: Math.min(2, availableParallelism()),
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: 'workers',
          include: testsOfServers(),
          env: { TEST_TOPOLOGY: 'workers' },
          globalSetup: ['tests/kit/global-setup.ts'],
          testTimeout: 120_000,
          hookTimeout: 180_000,
          // Each server has some forty connections to PostgreSQL, which has 200 for all.
          maxWorkers: Math.min(2, availableParallelism()),
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
})

/** The tests for which it makes a difference what a server is made of. */
function testsOfServers(): string[] {
  const root = import.meta.dirname
  const files = globSync('tests/{integration,clients,fuzz,crash}/**/*.test.ts', { cwd: root })
  return files.filter((file) => readFileSync(join(root, file), 'utf8').includes('TestServer.start(')).toSorted()
}
