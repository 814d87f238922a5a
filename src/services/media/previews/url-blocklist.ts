import { compileGlob } from '../../../util/glob.ts'
import { LinearRegExp } from '../../../util/linear-regexp.ts'

/** Parts of a URL, named as in Synapse's option `url_preview_url_blacklist`. */
export interface UrlPattern {
  readonly scheme: string | undefined
  readonly netloc: string | undefined
  readonly hostname: string | undefined
  readonly port: string | undefined
  readonly path: string | undefined
  readonly query: string | undefined
  readonly fragment: string | undefined
  readonly username: string | undefined
  readonly password: string | undefined
}

type Part = keyof UrlPattern
const PARTS: readonly Part[] = ['scheme', 'netloc', 'hostname', 'port', 'path', 'query', 'fragment', 'username', 'password']

interface PartTest {
  readonly part: Part
  matches(value: string): boolean
}

/** URLs that the admin wants no previews of: each entry of the list refuses what matches all of its parts. */
export class UrlBlocklist {
  readonly #entries: readonly (readonly PartTest[])[]

  /** Values are globs, or regular expressions where they begin with `^`. Throws PatternError. */
  constructor(patterns: readonly UrlPattern[]) {
    this.#entries = patterns.map((pattern) =>
      PARTS.flatMap((part) => {
        const value = pattern[part]
        return value === undefined ? [] : [compileTest(part, value)]
      }),
    )
  }

  /** Tells whether there are to be no previews of the URL. */
  isBlocked(url: URL): boolean {
    const login = [url.username, url.password].filter((word) => word !== '').join(':')
    const parts: Record<Part, string> = {
      scheme: url.protocol.slice(0, -1),
      netloc: login === '' ? url.host : `${login}@${url.host}`,
      hostname: url.hostname,
      port: url.port,
      path: url.pathname,
      query: url.search.slice(1),
      fragment: url.hash.slice(1),
      username: url.username,
      password: url.password,
    }
    const isAbsent = (part: Part): boolean =>
      parts[part] === '' && (part === 'username' || part === 'password' || part === 'port')
    return this.#entries.some(
      (tests) => tests.length > 0 && tests.every((test) => !isAbsent(test.part) && test.matches(parts[test.part])),
    )
  }
}

function compileTest(part: Part, pattern: string): PartTest {
  if (pattern.startsWith('^')) {
    const expression = new LinearRegExp(pattern)
    return { part, matches: (value) => expression.matchesStart(value) }
  }
  const glob = compileGlob(pattern)
  return { part, matches: (value) => glob.matches(value) }
}
