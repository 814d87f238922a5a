/** One thing that somebody should mend. An error stops the server or loses something; a warning may be meant so. */
export interface Finding {
  readonly severity: 'error' | 'warning'
  /** One line: where, what, and how to mend it. */
  readonly text: string
}

/** Makes an error. */
export function fault(text: string): Finding {
  return { severity: 'error', text }
}

/** Makes a warning. */
export function doubt(text: string): Finding {
  return { severity: 'warning', text }
}

/** What an unknown thing that was thrown says, in one line. */
export function describeError(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(describeError).join('; ')
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error && typeof error.code === 'string' && !error.message.includes(error.code) ? ` (${error.code})` : ''
  return `${error.message || error.name}${code}`.replaceAll('\n', ' ')
}
