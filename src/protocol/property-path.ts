/** A property's names, outermost first. */
export type PropertyPath = readonly string[]

/** Splits a dot-separated path; `\.` and `\\` stand for the character. Spec: appendices § Dot-separated property paths. */
export function parsePropertyPath(key: string): PropertyPath {
  const names: string[] = []
  let name = ''
  for (let index = 0; index < key.length; index++) {
    const char = key.charAt(index)
    const next = key.charAt(index + 1)
    if (char === '\\' && (next === '.' || next === '\\')) {
      name += next
      index++
    } else if (char === '.') {
      names.push(name)
      name = ''
    } else {
      name += char
    }
  }
  names.push(name)
  return names
}
