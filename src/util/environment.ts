/** Reads an environment variable; an empty one counts as missing. The only place that looks at the environment. */
export function readEnvironment(name: string): string | undefined {
  const value = process.env[name]
  return value === undefined || value === '' ? undefined : value
}
