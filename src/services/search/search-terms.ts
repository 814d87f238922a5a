import type { SearchQuery } from '../../storage/tables/event-search.ts'

const TERMS_MAX = 20
const TERM_CHARACTERS_MAX = 100
/** Shorter words are only found whole. */
const PREFIX_CHARACTERS_MIN = 3
const HIGHLIGHTS_MAX = 100
const WORD = /[\p{L}\p{N}_]+/gu
// Scripts that are written without spaces: a text is one long "word", whose parts must be found.
const WITHOUT_SPACES =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u

/** A search term made ready. */
export interface SearchTerms {
  readonly words: readonly string[]
  readonly query: SearchQuery['query']
  readonly patterns: SearchQuery['patterns']
}

/**
 * Makes a query of what the user typed: all words must occur, longer ones also as the beginning of a word. With trigrams,
 * texts that contain all words as parts are found as well, unless a word is too short to be looked up that way.
 */
export function parseSearchTerm(text: string, options: { readonly hasTrigrams: boolean }): SearchTerms {
  const words = (text.toWellFormed().toLowerCase().match(WORD) ?? [])
    .slice(0, TERMS_MAX)
    .map((word) => word.slice(0, TERM_CHARACTERS_MAX))
  const query = words.map((word) => `'${word}'${Array.from(word).length >= PREFIX_CHARACTERS_MIN ? ':*' : ''}`).join(' & ')
  const canUsePatterns =
    options.hasTrigrams &&
    words.length > 0 &&
    words.every((word) => word.length >= PREFIX_CHARACTERS_MIN || WITHOUT_SPACES.test(word))
  return { words, query, patterns: canUsePatterns ? words.map((word) => `%${word.replaceAll('_', '\\_')}%`) : [] }
}

/** Finds the words of the hits that a client should highlight. */
export function findHighlights(words: readonly string[], bodies: Iterable<string>): string[] {
  const highlights = new Set<string>()
  for (const body of bodies) {
    const lowerBody = body.toLowerCase()
    for (const word of lowerBody.match(WORD) ?? []) {
      if (highlights.size >= HIGHLIGHTS_MAX) return [...highlights]
      if (words.some((term) => word.startsWith(term))) highlights.add(word)
    }
    for (const term of words) if (lowerBody.includes(term)) highlights.add(term)
  }
  return [...highlights]
}
