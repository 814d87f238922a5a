/** Tells whether an error came from the operating system, with this code (`ENOENT`, `EACCES` …) where one is given. */
export function isSystemError(error: unknown, code?: string): error is Error & { readonly code: string } {
  return (
    error instanceof Error && 'code' in error && typeof error.code === 'string' && (code === undefined || error.code === code)
  )
}
