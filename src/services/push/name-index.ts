import type { UserId } from '../../protocol/ids.ts'

/*
 * Names that may occur in a message, found without trying every name. A name that occurs between word boundaries has all
 * of its own words ([a-z0-9_]+) whole in the text too, so it is filed under its longest word: 'Bob B. Builder' -> 'builder'.
 * A name without such a word (other scripts, emoji) is filed under its first character. The text is cut once; what is
 * found are candidates, which the caller's full evaluation confirms or not.
 */

const WORDS = /[a-z0-9_]+/g
const OTHER_CHARACTERS = /[^a-z0-9_]/gu

/** Finds the users whose name may occur in a text. Names are never taken out: a candidate too many does no harm. */
export class NameIndex {
  readonly #byKey = new Map<string, Set<UserId>>()
  #hasOtherScripts = false

  /** Files a name of the user; an empty one is never found. */
  add(name: string, userId: UserId): void {
    const key = keyOf(name.toLowerCase())
    if (key === undefined) return
    if (!/^[a-z0-9_]/.test(key)) this.#hasOtherScripts = true
    const users = this.#byKey.get(key)
    if (users) users.add(userId)
    else this.#byKey.set(key, new Set([userId]))
  }

  /** The users of whom a name may occur in the text. */
  find(text: string): Set<UserId> {
    const found = new Set<UserId>()
    if (this.#byKey.size === 0) return found
    const lower = text.toLowerCase()
    for (const key of new Set(lower.match(WORDS))) this.#collect(key, found)
    if (this.#hasOtherScripts) for (const key of new Set(lower.match(OTHER_CHARACTERS))) this.#collect(key, found)
    return found
  }

  #collect(key: string, found: Set<UserId>): void {
    const users = this.#byKey.get(key)
    if (users) for (const userId of users) found.add(userId)
  }
}

function keyOf(name: string): string | undefined {
  let longest = ''
  for (const word of name.match(WORDS) ?? []) if (word.length > longest.length) longest = word
  if (longest !== '') return longest
  const [first] = name
  return first
}
