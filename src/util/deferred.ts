/** A promise with its ends in hand. */
export interface Deferred<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
  reject(error: unknown): void
}

/** Makes a promise that is settled from outside. */
export function createDeferred<T>(): Deferred<T> {
  return Promise.withResolvers<T>()
}
