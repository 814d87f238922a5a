import type { SearchQuery } from '../../storage/tables/event-search.ts'

const TERMS_MAX = 20
const TERM_CHARACTERS_MAX = 100
/** Of a text, so much can be found: what it makes must fit the database's type, also where characters become many by normalization. */
const TEXT_CHARACTERS_MAX = 32_768
/** Shorter words are only found whole. */
const PREFIX_CHARACTERS_MIN = 3
const PATTERN_CHARACTERS_MIN = 3
/** The database keeps no more places of one word. */
const POSITIONS_MAX = 255
const HIGHLIGHTS_MAX = 100
const WORD = /[\p{L}\p{N}\p{M}_]+/gu
// Scripts whose writing does not part words where people look for them: every two neighbours can be found.
const UNSPACED =
  '\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Hangul}\\p{Script=Thai}\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}'
const SEGMENT = new RegExp(`[${UNSPACED}]+|[^${UNSPACED}]+`, 'gu')
const IS_UNSPACED = new RegExp(`^[${UNSPACED}]`, 'u')

/** A search term made ready. */
export interface SearchTerms {
  readonly words: readonly string[]
  readonly query: SearchQuery['query']
  readonly patterns: SearchQuery['patterns']
}

/** The form in which texts are kept and looked for: widths, ligatures and capitals do not matter. The database knows no U+0000. */
export function normalizeText(text: string): string {
  return text
    .toWellFormed()
    .normalize('NFKC')
    .toLowerCase()
    .replaceAll('\u0000', ' ')
    .slice(0, TEXT_CHARACTERS_MAX)
    .toWellFormed()
}

/**
 * Makes the searchable words of a normalized text, in the database's syntax of a tsvector. Words are made here, by the same rules as
 * those of a query: the database's own parser takes `foo.png` and `c++20` for one word or none.
 */
export function makeDocument(normalized: string): string {
  const positions = new Map<string, number[]>()
  let position = 1
  for (const segment of segmentsOf(normalized.match(WORD) ?? [])) {
    for (const lexeme of lexemesOf(segment)) {
      const places = positions.get(lexeme) ?? []
      if (places.length < POSITIONS_MAX) places.push(position)
      positions.set(lexeme, places)
      position++
    }
  }
  return Array.from(positions, ([lexeme, places]) => `'${lexeme}':${places.join(',')}`).join(' ')
}

/**
 * Makes a query of what the user typed: all words must occur, longer ones also as the beginning of a word. With trigrams, texts are
 * found as well that contain all that stands between spaces as it is, anywhere.
 */
export function parseSearchTerm(text: string, options: { readonly hasTrigrams: boolean }): SearchTerms {
  const normalized = normalizeText(text)
  const words = (normalized.match(WORD) ?? [])
    .slice(0, TERMS_MAX)
    .map((word) => Array.from(word).slice(0, TERM_CHARACTERS_MAX).join(''))
  const query = segmentsOf(words).map(queryOf).join(' & ')
  const parts = normalized
    .split(/\s+/u)
    .map((part) => part.replaceAll(/^[^\p{L}\p{N}\p{M}_]+|[^\p{L}\p{N}\p{M}_]+$/gu, '').slice(0, TERM_CHARACTERS_MAX))
    .filter((part) => part !== '')
    .slice(0, TERMS_MAX)
  const canUsePatterns = options.hasTrigrams && parts.some((part) => part.length >= PATTERN_CHARACTERS_MIN)
  return { words, query, patterns: canUsePatterns ? parts.map((part) => `%${part.replaceAll(/[\\%_]/g, '\\$&')}%`) : [] }
}

/** Parts words where one script of the kind without spaces meets another: `c言語` has two parts. */
function segmentsOf(words: readonly string[]): string[] {
  return words.flatMap((word) => word.match(SEGMENT) ?? [])
}

/** A word is one lexeme; of writing without spaces, all pairs of neighbours are, and the last character. */
function lexemesOf(segment: string): string[] {
  if (!IS_UNSPACED.test(segment)) return [Array.from(segment).slice(0, TERM_CHARACTERS_MAX).join('')]
  const characters = Array.from(segment)
  return characters.map((character, index) => character + (characters[index + 1] ?? ''))
}

function queryOf(segment: string): string {
  const characters = Array.from(segment)
  if (!IS_UNSPACED.test(segment)) return `'${segment}'${characters.length >= PREFIX_CHARACTERS_MIN ? ':*' : ''}`
  if (characters.length === 1) return `'${segment}':*`
  const pairs = lexemesOf(segment).slice(0, -1)
  return pairs.length === 1 ? `'${pairs[0]}'` : `(${pairs.map((pair) => `'${pair}'`).join(' <-> ')})`
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
