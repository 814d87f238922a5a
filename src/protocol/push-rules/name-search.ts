const WORD = /[a-z0-9_]+/g

/** Lists the words of a body in lower case, as word boundaries of push rules cut them. Take it once per event. */
export function wordsOf(body: string): ReadonlySet<string> {
  return new Set(body.toLowerCase().match(WORD))
}

/**
 * The word under which a name or keyword without wildcards is kept in an index: where the name occurs in a body between
 * word boundaries, this is one of the body's words. Undefined for names without such characters, which have to be
 * searched one by one.
 */
export function searchWordOf(name: string): string | undefined {
  let longest: string | undefined
  for (const word of name.toLowerCase().match(WORD) ?? []) {
    // The longest word is the rarest, as a rule.
    if (longest === undefined || word.length > longest.length) longest = word
  }
  return longest
}
