import type { TestProject } from 'vitest/node'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { createTemplate, startTestPostgres } from './test-postgres.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    postgres: DatabaseOptions
  }
}

/** Starts the one PostgreSQL of a test run, with the migrated template, and stops it at the end. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const postgres = await startTestPostgres()
  try {
    await createTemplate(postgres.options)
  } catch (error) {
    await postgres.stop()
    throw error
  }
  project.provide('postgres', postgres.options)
  return () => postgres.stop()
}
