import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Environment } from 'nunjucks'
import { cacheOfEntries } from '../util/lru-cache.ts'
import { formatPython, formatTimestamp, localpartOfEmail, thumbnailUrl } from './template-filters.ts'

const DEFAULT_DIRECTORY = join(dirname(fileURLToPath(import.meta.url)), 'default')
const LANGUAGES_MAX = 5
const PATHS_MAX = 2000
const LANGUAGE = /^[a-z]{2,3}(-[a-z0-9]{2,8})?$/

/** HTML that is safe already: a template shows it as it is. */
export class SafeHtml {
  readonly html: string

  constructor(html: string) {
    this.html = html
  }
}

/** What a template is given. Undefined fields are not defined there. */
export type TemplateVariables = Readonly<Record<string, unknown>>

interface Engine {
  /** Of `.html`: values are escaped. */
  readonly pages: Environment
  readonly texts: Environment
  readonly markSafe: (html: string) => unknown
}

/**
 * Renders pages and mails from Jinja2 templates, as Synapse's are: an administrator's own, else ours. In each folder `<language>/<name>`
 * comes before `<name>`, for languages that the reader prefers to English. Templates are read once, and the engine when first needed.
 */
export class TemplateRenderer {
  readonly #directories: readonly string[]
  readonly #publicBaseUrl: string
  readonly #common: TemplateVariables
  readonly #found = cacheOfEntries<string, boolean>(PATHS_MAX)
  #engine: Promise<Engine> | undefined

  /** `directories`: the administrator's, the first has precedence. `common`: what every template is given. */
  constructor(deps: {
    readonly directories: readonly (string | undefined)[]
    readonly publicBaseUrl: string
    readonly common: TemplateVariables
  }) {
    this.#directories = [...deps.directories.filter((directory) => directory !== undefined), DEFAULT_DIRECTORY]
    this.#publicBaseUrl = deps.publicBaseUrl
    this.#common = deps.common
  }

  /** Renders a template by its file name. Throws where there is none. */
  async render(name: string, variables: TemplateVariables = {}, languages: readonly string[] = []): Promise<string> {
    this.#engine ??= this.#load()
    const { pages, texts, markSafe } = await this.#engine
    const environment = name.endsWith('.html') ? pages : texts
    const given = toTemplateValue({ ...this.#common, ...variables }, markSafe) as object
    const chosen = this.#choose(name, languages.slice(0, LANGUAGES_MAX))
    // With a callback: errors in what a template includes are thrown past a caller without one.
    return new Promise((resolve, reject) => {
      environment.render(chosen, given, (error, text) => {
        if (typeof text === 'string') resolve(text)
        else reject(new Error(`The template ${chosen} can not be rendered`, { cause: error }))
      })
    })
  }

  /** Whether there is a template of this name. */
  has(name: string): boolean {
    return this.#directories.some((directory) => this.#isThere(join(directory, name)))
  }

  /** Folder by folder: an administrator's template in English comes before ours in the reader's language. */
  #choose(name: string, languages: readonly string[]): string {
    const english = languages.indexOf('en')
    const preferred = english === -1 ? languages : languages.slice(0, english)
    for (const directory of this.#directories) {
      const language = preferred.find((candidate) => this.#isThere(join(directory, candidate, name)))
      if (language !== undefined) return `${language}/${name}`
      if (this.#isThere(join(directory, name))) break
    }
    return name
  }

  #isThere(path: string): boolean {
    const known = this.#found.get(path)
    if (known !== undefined) return known
    const isThere = existsSync(path)
    this.#found.set(path, isThere)
    return isThere
  }

  async #load(): Promise<Engine> {
    const { default: nunjucks } = await import('nunjucks')
    // Python's slices, True, False and None.
    nunjucks.installJinjaCompat()
    const loader = { getSource: (name: string) => this.#read(name) }
    const make = (autoescape: boolean): Environment =>
      new nunjucks.Environment(loader as ConstructorParameters<typeof Environment>[0], { autoescape })
        .addFilter('format_ts', formatTimestamp)
        .addFilter('format', formatPython)
        .addFilter('localpart_from_email', localpartOfEmail)
        .addFilter('mxc_to_http', (value: unknown, width: number, height: number, method: unknown) =>
          thumbnailUrl(this.#publicBaseUrl, value, { width, height, method }),
        )
    return { pages: make(true), texts: make(false), markSafe: (html) => new nunjucks.runtime.SafeString(html) }
  }

  /** Null says that there is none. */
  #read(name: string): { src: string; path: string; noCache: boolean } {
    const path = this.#directories.map((directory) => join(directory, name)).find((candidate) => existsSync(candidate))
    // The engine takes null for "not found", which its types do not say.
    if (path === undefined) return null as never
    return { src: adaptJinja(readFileSync(path, 'utf8')), path, noCache: false }
  }
}

/** The languages that a browser prefers, best first, from the header Accept-Language. */
export function parseLanguages(header: string | undefined): string[] {
  const wishes = (header ?? '')
    .slice(0, 500)
    .split(',')
    .map((part) => {
      const [tag = '', ...parameters] = part.trim().toLowerCase().split(';')
      const quality = parameters.map((parameter) => /^\s*q=([0-9.]+)$/.exec(parameter)?.[1]).find((q) => q !== undefined)
      return { tag, quality: quality === undefined ? 1 : Number(quality) }
    })
    .filter(({ tag, quality }) => LANGUAGE.test(tag) && quality > 0)
    .toSorted((a, b) => b.quality - a.quality)
  return [...new Set(wishes.flatMap(({ tag }) => [tag, tag.split('-', 1)[0] ?? tag]))]
}

/** Rewrites what Jinja2 knows and our engine does not: the context of an include, and `"text %s" % value`. */
function adaptJinja(source: string): string {
  return source.replaceAll(/\{%[-+]?\s*include\b(?:"[^"]*"|'[^']*'|(?!%\}).)*%\}/gs, (tag) =>
    tag.replace(/\s+with(out)?\s+context(?=\s*[-+]?%\}$)/, '').replace(/("[^"]*"|'[^']*')\s*%\s*([\w.]+)/, '$1|format($2)'),
  )
}

function toTemplateValue(value: unknown, markSafe: (html: string) => unknown): unknown {
  if (value instanceof SafeHtml) return markSafe(value.html)
  if (Array.isArray(value)) return value.map((item) => toTemplateValue(item, markSafe))
  if (typeof value !== 'object' || value === null) return value
  const fields = Object.entries(value).filter(([, field]) => field !== undefined)
  return Object.fromEntries(fields.map(([name, field]) => [name, toTemplateValue(field, markSafe)]))
}
