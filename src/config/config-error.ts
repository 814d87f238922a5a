/** Where a value stands. Lines and columns start at 1; both are 0 for a value that came from no file. */
export interface Place {
  readonly file: string
  readonly line: number
  readonly column: number
}

/** Says what is wrong with the configuration, every finding on its own line. The program ends with status 78 (EX_CONFIG). */
export class ConfigError extends Error {
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/** Formats a place as editors and terminals understand it: `file:line:column`. */
export function formatPlace(place: Place): string {
  return place.line === 0 ? place.file : `${place.file}:${place.line}:${place.column}`
}
