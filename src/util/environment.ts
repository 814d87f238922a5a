/** Reads an environment variable; an empty one counts as missing. The only place that looks at the environment. */
export function readEnvironment(name: string): string | undefined {
  const value = process.env[name]
  return value === undefined || value === '' ? undefined : value
}

/** The environment for a process that we start: ours, with some variables changed, or taken away where the value is undefined. */
export function buildChildEnvironment(changes: Readonly<Record<string, string | undefined>>): NodeJS.ProcessEnv {
  return { ...process.env, ...changes }
}
