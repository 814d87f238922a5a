/** Something took longer than it was given. */
export class TimeoutError extends Error {
  override readonly name = 'TimeoutError'
}

/** Settles as the promise does, or rejects with TimeoutError when that takes longer than `ms`. What runs is not ended by it. */
export async function within<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new TimeoutError(`${what} took longer than ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, timeout])
  } finally {
    clearTimeout(timer)
  }
}
