import { resolve } from 'node:path'

const REPOSITORY = resolve(import.meta.dirname, '../..')

/** Absolute path of a file of the repository. */
export function repositoryPath(...parts: readonly string[]): string {
  return resolve(REPOSITORY, ...parts)
}

/** The only place where tests read the environment. */
export function environmentVariable(name: string): string | undefined {
  const value = process.env[name]
  return value === undefined || value === '' ? undefined : value
}

/** A whole number from the environment, for tests whose size CI and developers choose differently. */
export function environmentNumber(name: string, otherwise: number): number {
  const text = environmentVariable(name)
  if (text === undefined) return otherwise
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${name} must be a whole number, not ${text}`)
  return value
}
