import { Parser } from 'htmlparser2'

const PROPERTIES_MAX = 50
const KEY_CHARS_MAX = 100
const VALUE_CHARS_MAX = 4000
const TITLE_CHARS_MAX = 1000
const IMAGES_MAX = 20
/** Text of the page that is gathered for a description. */
const TEXT_CHARS_MAX = 4000
const DEPTH_MAX = 2000
/** What holds no text of the page. */
const SILENT: ReadonlySet<string> = new Set([
  'script',
  'style',
  'noscript',
  'svg',
  'nav',
  'header',
  'footer',
  'aside',
  'template',
  'iframe',
  'canvas',
  'form',
  'select',
])
const HEADINGS: ReadonlySet<string> = new Set(['title', 'h1', 'h2', 'h3'])
const BLOCKS = /^(?:p|div|br|li|tr|section|article|blockquote|pre|h[1-6])$/

/** What a page says of itself. */
export interface PageMetadata {
  /** `og:` properties, from OpenGraph and then Twitter cards. */
  readonly properties: ReadonlyMap<string, string>
  /** The title, or the first heading. */
  readonly title: string | undefined
  readonly description: string | undefined
  /** The beginning of the page's text, blocks parted by blank lines. */
  readonly text: string
  /** Pictures that may stand for the page, the best first. */
  readonly images: readonly string[]
  /** Where the page's oEmbed answer is. */
  readonly oembedUrl: string | undefined
}

/** Reads a page piece by piece, with memory that has a bound whatever comes. */
export class PageReader {
  readonly #openGraph = new Map<string, string>()
  readonly #twitter = new Map<string, string>()
  readonly #headings = new Map<string, string>()
  readonly #pictures: { url: string; pixels: number }[] = []
  #description: string | undefined
  #itemImage: string | undefined
  #icon: string | undefined
  #oembedUrl: string | undefined
  #text = ''
  #silentDepth = 0
  #depth = 0
  #isTooDeep = false
  #heading: string | undefined
  readonly #parser = new Parser(
    {
      onopentag: (name, attributes) => this.#open(name, attributes),
      onclosetag: (name) => this.#close(name),
      ontext: (text) => this.#read(text),
    },
    { decodeEntities: true, lowerCaseTags: true, lowerCaseAttributeNames: true },
  )

  /** Takes the next piece. */
  write(piece: string): void {
    if (!this.isDone) this.#parser.write(piece)
  }

  /** Nothing that comes could change the answer much. */
  get isDone(): boolean {
    return this.#isTooDeep || this.#text.length >= TEXT_CHARS_MAX
  }

  /** Returns what was found. */
  end(): PageMetadata {
    this.#parser.end()
    const properties = new Map(this.#openGraph)
    for (const [key, value] of this.#twitter) if (!properties.has(key)) properties.set(key, value)
    const headings = [...HEADINGS].flatMap((name) => this.#headings.get(name)?.trim() || [])
    const pictures = this.#pictures.toSorted((one, other) => other.pixels - one.pixels).map(({ url }) => url)
    return {
      properties,
      title: headings[0] === undefined ? undefined : squeeze(headings[0]),
      description: this.#description,
      text: this.#text,
      images: [this.#itemImage, ...pictures, this.#icon].filter((url) => url !== undefined),
      oembedUrl: this.#oembedUrl,
    }
  }

  #open(name: string, attributes: Readonly<Record<string, string>>): void {
    this.#depth++
    if (this.#depth > DEPTH_MAX) this.#isTooDeep = true
    if (SILENT.has(name)) this.#silentDepth++
    else if (HEADINGS.has(name) && !this.#headings.has(name)) {
      this.#heading = name
      this.#headings.set(name, '')
    }
    if (BLOCKS.test(name) && this.#text !== '' && !this.#text.endsWith('\n\n')) this.#text = `${this.#text.trimEnd()}\n\n`
    if (name === 'meta') this.#readMeta(attributes)
    else if (name === 'link') this.#readLink(attributes)
    else if (name === 'img') this.#readPicture(attributes)
  }

  #close(name: string): void {
    this.#depth--
    if (SILENT.has(name)) this.#silentDepth--
    if (name === this.#heading) this.#heading = undefined
  }

  #read(text: string): void {
    if (this.#heading !== undefined) {
      const known = this.#headings.get(this.#heading) ?? ''
      this.#headings.set(this.#heading, (known + text).slice(0, TITLE_CHARS_MAX))
    }
    if (this.#heading === 'title' || this.#silentDepth > 0) return
    const words = text.replaceAll(/\s+/g, ' ')
    const begins = this.#text === '' || /\s$/.test(this.#text)
    this.#text = (this.#text + (begins ? words.trimStart() : words)).slice(0, TEXT_CHARS_MAX)
  }

  #readMeta(attributes: Readonly<Record<string, string>>): void {
    const content = attributes['content']?.trim().slice(0, VALUE_CHARS_MAX)
    if (content === undefined || content === '') return
    for (const key of [attributes['property'], attributes['name']]) {
      const name = key?.trim().toLowerCase() ?? ''
      if (name.length > KEY_CHARS_MAX) continue
      if (name.startsWith('og:')) keepFirst(this.#openGraph, name, content)
      const card = /^twitter:(title|description|image|url)(?::src)?$/.exec(name)?.[1]
      if (card !== undefined) keepFirst(this.#twitter, `og:${card}`, content)
      if (name === 'description') this.#description ??= content
    }
    if (attributes['itemprop']?.toLowerCase() === 'image') this.#itemImage ??= content
  }

  #readLink(attributes: Readonly<Record<string, string>>): void {
    const href = attributes['href']?.trim()
    const words = attributes['rel']?.toLowerCase().split(/\s+/) ?? []
    if (href === undefined || href === '' || href.length > VALUE_CHARS_MAX) return
    if (words.includes('alternate') && attributes['type']?.toLowerCase() === 'application/json+oembed') this.#oembedUrl ??= href
    if (words.includes('icon')) this.#icon ??= href
  }

  #readPicture(attributes: Readonly<Record<string, string>>): void {
    const url = attributes['src']?.trim()
    if (url === undefined || url === '' || url.length > VALUE_CHARS_MAX || url.startsWith('data:')) return
    const [width, height] = [Number(attributes['width'] ?? 0), Number(attributes['height'] ?? 0)]
    // Dots that count visitors, and lines.
    const isSpeck = (attributes['width'] !== undefined && width <= 10) || (attributes['height'] !== undefined && height <= 10)
    if (!isSpeck && this.#pictures.length < IMAGES_MAX) this.#pictures.push({ url, pixels: width * height || 0 })
  }
}

function keepFirst(map: Map<string, string>, key: string, value: string): void {
  if (map.size < PROPERTIES_MAX && !map.has(key)) map.set(key, value)
}

function squeeze(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim()
}

const SUMMARY_CHARS_MIN = 200
const SUMMARY_CHARS_MAX = 500

/** Shortens a text to whole paragraphs of 200 to 500 characters together, or to whole words. */
export function summarise(text: string): string {
  let summary = ''
  for (const paragraph of text.split('\n\n')) {
    if (summary.length >= SUMMARY_CHARS_MIN) break
    const clean = squeeze(paragraph)
    if (clean !== '') summary = summary === '' ? clean : `${summary}\n\n${clean}`
  }
  if (summary.length <= SUMMARY_CHARS_MAX) return summary
  const cut = summary.slice(0, SUMMARY_CHARS_MAX)
  const space = cut.lastIndexOf(' ')
  return `${(space > SUMMARY_CHARS_MIN ? cut.slice(0, space) : cut).toWellFormed()}…`
}
