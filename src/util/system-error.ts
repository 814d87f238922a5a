/** Tells whether an error came from the operating system with this code (`ENOENT`, `EACCES` …). */
export function isSystemError(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
