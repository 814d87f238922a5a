import type { UserId } from '../../protocol/ids.ts'
import { searchWordOf, wordsOf } from '../../protocol/push-rules/name-search.ts'

/*
 * Names that may occur in a message, found without trying every name. A name is filed under its longest word
 * ('Bob B. Builder' -> 'builder'), one without words (other scripts, emoji) under its first character. A text is cut once;
 * what is found are candidates, which a full evaluation confirms or not.
 */

const OTHER_CHARACTERS = /[^a-z0-9_]/gu

/** Finds the users whose name may occur in a text. Names are never taken out: a candidate too many does no harm. */
export class NameIndex {
  readonly #byWord = new Map<string, Set<UserId>>()
  readonly #byCharacter = new Map<string, Set<UserId>>()

  /** Files a name of the user; an empty one is never found. */
  add(name: string, userId: UserId): void {
    const word = searchWordOf(name)
    if (word !== undefined) {
      file(this.#byWord, word, userId)
      return
    }
    const [first] = name.toLowerCase()
    if (first !== undefined) file(this.#byCharacter, first, userId)
  }

  /** The users of whom a name may occur in the text. */
  find(text: string): Set<UserId> {
    const found = new Set<UserId>()
    if (this.#byWord.size > 0) collect(this.#byWord, wordsOf(text), found)
    if (this.#byCharacter.size > 0) collect(this.#byCharacter, new Set(text.toLowerCase().match(OTHER_CHARACTERS)), found)
    return found
  }
}

function file(index: Map<string, Set<UserId>>, key: string, userId: UserId): void {
  const users = index.get(key)
  if (users) users.add(userId)
  else index.set(key, new Set([userId]))
}

function collect(index: ReadonlyMap<string, ReadonlySet<UserId>>, keys: ReadonlySet<string>, found: Set<UserId>): void {
  for (const key of keys) {
    const users = index.get(key)
    if (users) for (const userId of users) found.add(userId)
  }
}
