const BEGINNING_LENGTH_MIN = 4
const BEGINNING_PENALTY = 0.5

/** Picks the candidate that a misspelt word most likely meant, or undefined where none is near. */
export function findNearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined
  // A third of the letters wrong is a typo; more is another word.
  let bestDistance = Math.floor(word.length / 3) + 1
  for (const candidate of candidates) {
    // The beginning of a long word is often all that somebody remembers: `--confg` for `--config-path`.
    const beginning =
      candidate.length > word.length + 1 && word.length >= BEGINNING_LENGTH_MIN ? candidate.slice(0, word.length + 1) : candidate
    const distance = Math.min(computeEditDistance(word, candidate), computeEditDistance(word, beginning) + BEGINNING_PENALTY)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Counts insertions, deletions, replacements and swaps of neighbours (restricted Damerau-Levenshtein distance). */
function computeEditDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let value = Math.min(at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + cost)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) value = Math.min(value, at(beforeLast, j - 2) + 1)
      row.push(value)
    }
    beforeLast = last
    last = row
  }
  return at(last, b.length)
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY
}
