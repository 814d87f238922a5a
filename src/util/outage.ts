const CONNECTION_CODES = new Set(['ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH'])

/**
 * Tells whether an error means that the database is away or has just gone, not that a request or our program is wrong: by SQLSTATE
 * (08 connection, 57P0 shutdown and start), by the system's code, or by the driver's words.
 */
export function isOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code, syscall } = error as { code?: unknown; syscall?: unknown }
  if (typeof code === 'string' && (code.startsWith('08') || code.startsWith('57P0') || CONNECTION_CODES.has(code))) return true
  // A missing socket. A missing file has another system call.
  if (code === 'ENOENT' && syscall === 'connect') return true
  return /^(?:Connection terminated|Client has encountered a connection error|Client was closed|timeout exceeded when trying to connect)/.test(
    error.message,
  )
}
