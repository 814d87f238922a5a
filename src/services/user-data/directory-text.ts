import type { DirectoryRow } from '../../storage/tables/user-directory.ts'

const TERMS_MAX = 10
const TERM_CHARS_MAX = 100

/** Brings a text to the form in which users are searched: compatible forms and capitals made the same. */
export function normalizeDirectoryText(text: string): string {
  return text.toWellFormed().normalize('NFKC').toLowerCase().replaceAll('\u0000', ' ').replaceAll('\n', ' ')
}

/** Cuts what somebody typed into parts that must all occur, the longest first. Works without word boundaries, so for any script. */
export function splitSearchTerm(text: string): string[] {
  const terms = normalizeDirectoryText(text)
    .split(/[\s,;]+/u)
    .filter((term) => term !== '')
  return terms
    .slice(0, TERMS_MAX)
    .map((term) => term.slice(0, TERM_CHARS_MAX))
    .toSorted((one, other) => other.length - one.length)
}

/** Makes a user's row in the directory. */
export function makeDirectoryRow(userId: string, profile: { displayName: unknown; avatarUrl: unknown }): DirectoryRow {
  const displayName = cleanText(profile.displayName)
  return {
    userId,
    displayName,
    avatarUrl: cleanText(profile.avatarUrl),
    searchText: `${normalizeDirectoryText(userId)}\n${normalizeDirectoryText(displayName ?? '')}`,
  }
}

function cleanText(value: unknown): string | null {
  // The database knows no U+0000 in texts.
  return typeof value === 'string' && value !== '' ? value.toWellFormed().replaceAll('\u0000', '') : null
}
