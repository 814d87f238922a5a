import { setTimeout as sleep } from 'node:timers/promises'

/** Asks again and again until there is an answer other than undefined and false. Throws, saying what was awaited, after `withinMs`. */
export async function eventually<T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  withinMs = 60_000,
): Promise<T> {
  const deadline = performance.now() + withinMs
  for (;;) {
    const answer = await ask()
    if (answer !== undefined && answer !== false) return answer
    if (performance.now() > deadline) throw new Error(`${what} did not happen in ${withinMs} ms`)
    await sleep(25)
  }
}
