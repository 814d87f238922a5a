/**
 * Picks the one of the names that a key belongs to (highest random weight). All processes pick the same one whatever the order of
 * the names, and when one of n names comes or goes only its share of the keys moves. Undefined when there are no names.
 */
export function rendezvous(key: string, names: readonly string[]): string | undefined {
  const keyHash = hashText(key)
  let best: string | undefined
  let bestScore = -1
  for (const name of names) {
    const score = mix(keyHash ^ hashText(name))
    if (score > bestScore || (score === bestScore && best !== undefined && name < best)) {
      best = name
      bestScore = score
    }
  }
  return best
}

/** Sorts names by their claim to a key: the first is what `rendezvous` picks, the second what it would pick without the first. */
export function rendezvousOrder(key: string, names: readonly string[]): string[] {
  const keyHash = hashText(key)
  return names
    .map((name) => ({ name, score: mix(keyHash ^ hashText(name)) }))
    .sort((a, b) => b.score - a.score || (a.name < b.name ? -1 : 1))
    .map(({ name }) => name)
}

/** FNV-1a over UTF-16 units. */
function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  return mix(hash)
}

/** The finalizer of MurmurHash3: every bit of the input moves half of the bits of the result. */
function mix(value: number): number {
  let hash = value
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
