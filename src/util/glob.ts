/** A pattern of `*` (any run of characters) and `?` (one character), compiled once. */
export interface Glob {
  /** Tells whether the text matches. Takes at most text length times pattern length steps, whatever the pattern. */
  matches(text: string): boolean
}

/** Compiles a pattern that must match the entire text, case-insensitively. Spec: appendices § Glob-style matching. */
export function compileGlob(pattern: string): Glob {
  return buildGlob(pattern, matchWhole)
}

/** Compiles a pattern that must match the entire text, where only `*` is special and case matters. Spec: event_filter.yaml. */
export function compileStarGlob(pattern: string): Glob {
  const segments = splitAtStars(pattern).map((part) => buildSegment([part]))
  return { matches: (text) => matchWhole(segments, text) }
}

/**
 * Compiles a pattern that must match a part of the text which starts and ends at a word boundary.
 * Spec: client-server-api § Push Rules, `content.body`. Words are runs of `[A-Za-z0-9_]`.
 */
export function compileWordGlob(pattern: string): Glob {
  return buildGlob(pattern, matchWords)
}

/** Compiles a text, in which `*` and `?` stand for themselves, that must occur between word boundaries. */
export function compileWordLiteral(literal: string): Glob {
  const segments = [buildSegment([literal.toLowerCase()])]
  return { matches: (text) => matchWords(segments, text.toLowerCase()) }
}

/*
 * The pattern is cut at its stars into segments: `a?c*de*` -> [a?c] [de] []. The first segment is anchored at the start,
 * the last at the end, each one between takes its leftmost place after the one before. Leftmost is always as good as any
 * other place, because it only leaves more text for what follows: so nothing is ever tried a second time.
 *
 * A segment is cut at its question marks into literals: `a?c` -> ['a', 'c']; between two literals stands one character.
 */
interface Segment {
  readonly literals: readonly string[]
  /** Length in characters (code points), which is how far an anchored last segment reaches back from the end. */
  readonly codePointCount: number
}

type Matcher = (segments: readonly Segment[], text: string) => boolean

function buildGlob(pattern: string, matcher: Matcher): Glob {
  const segments = splitAtStars(pattern.toLowerCase()).map((part) => buildSegment(part.split('?')))
  return { matches: (text) => matcher(segments, text.toLowerCase()) }
}

/** Several stars in a row mean the same as one, and would only cost time. */
function splitAtStars(pattern: string): string[] {
  return pattern.replace(/\*{2,}/g, '*').split('*')
}

function buildSegment(literals: readonly string[]): Segment {
  let codePointCount = literals.length - 1
  for (const literal of literals) codePointCount += countCodePoints(literal)
  return { literals, codePointCount }
}

function matchWhole(segments: readonly Segment[], text: string): boolean {
  const first = at(segments, 0)
  let position = matchHere(first, text, 0)
  if (position === -1) return false
  const lastIndex = segments.length - 1
  if (lastIndex === 0) return position === text.length
  for (let index = 1; index < lastIndex; index++) {
    const found = findLeftmost(at(segments, index), text, position)
    if (found === undefined) return false
    position = found.end
  }
  const last = at(segments, lastIndex)
  const start = stepBack(text, last.codePointCount)
  return start >= position && matchHere(last, text, start) === text.length
}

function matchWords(segments: readonly Segment[], text: string): boolean {
  const lastIndex = segments.length - 1
  let position = 0
  for (let index = 0; index <= lastIndex; index++) {
    const segment = at(segments, index)
    const isEmpty = segment.codePointCount === 0
    // A leading or trailing star reaches the start or end of the text, which is a boundary.
    if (isEmpty && lastIndex > 0) continue
    let found = findLeftmost(segment, text, position)
    while (found !== undefined && !fitsBoundaries(text, found, { first: index === 0, last: index === lastIndex })) {
      found = findLeftmost(segment, text, found.start + 1)
    }
    if (found === undefined) return false
    position = found.end
  }
  return true
}

interface Span {
  readonly start: number
  readonly end: number
}

function fitsBoundaries(text: string, span: Span, needed: { first: boolean; last: boolean }): boolean {
  return (!needed.first || isWordBoundary(text, span.start)) && (!needed.last || isWordBoundary(text, span.end))
}

/** Position is a boundary unless it stands inside a word. */
function isWordBoundary(text: string, position: number): boolean {
  return !(isWordCharacter(text.charCodeAt(position - 1)) && isWordCharacter(text.charCodeAt(position)))
}

function isWordCharacter(code: number): boolean {
  // 0-9, a-z, underscore, A-Z; NaN beyond the ends compares false everywhere.
  return (code >= 48 && code <= 57) || (code >= 97 && code <= 122) || code === 95 || (code >= 65 && code <= 90)
}

function findLeftmost(segment: Segment, text: string, from: number): Span | undefined {
  const first = at(segment.literals, 0)
  for (let start = from; start <= text.length; start++) {
    // indexOf jumps to the next candidate; an empty first literal (a leading `?`) makes every position one.
    start = text.indexOf(first, start)
    if (start === -1) return undefined
    if (isInsidePair(text, start)) continue
    const end = matchHere(segment, text, start)
    if (end !== -1) return { start, end }
    // Nothing further right can match when fewer characters are left than the segment has.
    if (text.length - start < segment.codePointCount) return undefined
  }
  return undefined
}

/** The end of the match that starts exactly here, or -1. */
function matchHere(segment: Segment, text: string, start: number): number {
  let position = start
  for (let index = 0; index < segment.literals.length; index++) {
    if (index > 0) {
      if (position >= text.length) return -1
      position += isPairStart(text, position) ? 2 : 1
    }
    const literal = at(segment.literals, index)
    if (!text.startsWith(literal, position)) return -1
    position += literal.length
  }
  return position
}

/** The position that many characters before the end, or -1. */
function stepBack(text: string, codePointCount: number): number {
  let position = text.length
  for (let left = codePointCount; left > 0; left--) {
    if (position <= 0) return -1
    position -= isInsidePair(text, position - 1) ? 2 : 1
  }
  return position
}

function countCodePoints(text: string): number {
  let count = 0
  for (let position = 0; position < text.length; position += isPairStart(text, position) ? 2 : 1) count++
  return count
}

function isPairStart(text: string, position: number): boolean {
  return isInsidePair(text, position + 1)
}

/** Tells whether the position cuts a surrogate pair in two. */
function isInsidePair(text: string, position: number): boolean {
  return (text.charCodeAt(position) & 0xfc00) === 0xdc00 && (text.charCodeAt(position - 1) & 0xfc00) === 0xd800
}

function at<T>(list: readonly T[], index: number): T {
  // Callers stay inside the list; `split` never gives an empty one.
  return list[index] as T
}
