/** A broken promise of our own code: answered with 500, logged with its stack, counted. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** Throws AssertionError unless the condition holds; `why` says why it should. Only for our own bugs, never for input. */
export function assert(condition: unknown, why: string): asserts condition {
  if (!condition) throw new AssertionError(`Assertion failed: ${why}`)
}
