import { defineConfig } from 'vitest/config'

/** unit: beside the code, no database, no network. integration: real servers on one PostgreSQL, made by the global setup. */
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['src/**/*.test.ts', 'tests/kit/**/*.test.ts', 'tests/conformance/**/*.test.ts'] } },
      {
        test: {
          name: 'integration',
          include: ['tests/{integration,fuzz,crash,clients,blackbox,bench}/**/*.test.ts'],
          globalSetup: ['tests/kit/global-setup.ts'],
          testTimeout: 30_000,
          hookTimeout: 60_000,
          silent: 'passed-only',
        },
      },
    ],
  },
})
