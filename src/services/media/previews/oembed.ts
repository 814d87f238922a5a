import { readFile } from 'node:fs/promises'
import { isJsonObject } from '../../../protocol/json.ts'
import { compileGlob } from '../../../util/glob.ts'
import type { Glob } from '../../../util/glob.ts'
import { OperatorError } from '../../../util/operator-error.ts'
import { PageReader, summarise } from './page-metadata.ts'

/** Sites whose pages say little without scripts. Format: oembed.com § Configuration. */
const DEFAULT_PROVIDERS: readonly unknown[] = [
  {
    endpoints: [
      {
        schemes: ['https://twitter.com/*', 'https://*.twitter.com/*', 'https://x.com/*', 'https://*.x.com/*'],
        url: 'https://publish.twitter.com/oembed',
      },
    ],
  },
  {
    endpoints: [
      {
        schemes: ['https://youtube.com/shorts/*', 'https://*.youtube.com/shorts/*'],
        url: 'https://www.youtube.com/oembed',
      },
    ],
  },
]
const VALUE_CHARS_MAX = 4000

interface Provider {
  readonly url: string
  readonly schemes: readonly Glob[]
}

/** What a provider says of a page, in the words of a preview. */
export interface EmbedAnswer {
  readonly properties: Readonly<Record<string, string>>
  readonly image: string | undefined
}

/** Knows which sites have an oEmbed endpoint. Option `oembed`; format: oembed.com. */
export class OembedProviders {
  readonly #options: { readonly isDefaultDisabled: boolean; readonly files: readonly string[] }
  #providers: Promise<readonly Provider[]> | undefined

  constructor(options: { isDefaultDisabled: boolean; files: readonly string[] }) {
    this.#options = options
  }

  /** Returns where to ask about a page; undefined where no provider knows it. */
  async endpointOf(url: string): Promise<string | undefined> {
    this.#providers ??= this.#load()
    const provider = (await this.#providers).find(({ schemes }) => schemes.some((scheme) => scheme.matches(url)))
    if (!provider) return undefined
    const endpoint = new URL(provider.url.replaceAll('{format}', 'json'))
    endpoint.searchParams.set('url', url)
    endpoint.searchParams.set('format', 'json')
    return endpoint.href
  }

  async #load(): Promise<readonly Provider[]> {
    const lists = [this.#options.isDefaultDisabled ? [] : DEFAULT_PROVIDERS]
    for (const file of this.#options.files) lists.push(await readProviders(file))
    return lists.flat().flatMap(parseProvider)
  }
}

async function readProviders(file: string): Promise<readonly unknown[]> {
  const value: unknown = JSON.parse(await readFile(file, 'utf8'))
  if (!Array.isArray(value)) throw new OperatorError(`${file} is no list of oEmbed providers`)
  return value as unknown[]
}

function parseProvider(value: unknown): readonly Provider[] {
  if (!isJsonObject(value) || !Array.isArray(value['endpoints'])) return []
  return (value['endpoints'] as unknown[]).flatMap((endpoint) => {
    if (!isJsonObject(endpoint)) return []
    const { url, schemes } = endpoint
    if (typeof url !== 'string' || !URL.canParse(url) || !Array.isArray(schemes)) return []
    const globs = schemes.filter((scheme) => typeof scheme === 'string').map((scheme) => compileGlob(scheme))
    return [{ url, schemes: globs }]
  })
}

/** Reads the answer of an oEmbed endpoint; undefined where it is none. */
export function readEmbed(text: string, pageUrl: string): EmbedAnswer | undefined {
  const answer = parseObject(text)
  // Some say 1.0 as a number.
  if (!answer || !['1.0', '1'].includes(String(answer['version'] ?? '1.0'))) return undefined
  const textOf = (key: string): string | undefined => {
    const value = answer[key]
    return typeof value === 'string' && value !== '' ? value.slice(0, VALUE_CHARS_MAX).toWellFormed() : undefined
  }
  const properties: Record<string, string> = { 'og:url': pageUrl }
  const set = (key: string, value: string | undefined): void => {
    if (value !== undefined) properties[key] = value
  }
  set('og:title', textOf('title') ?? textOf('author_name'))
  set('og:site_name', textOf('provider_name'))
  let image = textOf('thumbnail_url')
  const type = textOf('type')
  const inner = type === 'rich' || type === 'video' ? readInner(textOf('html')) : undefined
  if (type === 'rich') {
    set('og:description', inner?.text)
    image ??= inner?.image
  } else if (type === 'photo') image = textOf('url') ?? image
  else if (type === 'video') set('og:type', 'video.other')
  else if (type === 'link') set('og:type', 'website')
  else return undefined
  return { properties, image }
}

function readInner(html: string | undefined): { text: string | undefined; image: string | undefined } | undefined {
  if (html === undefined) return undefined
  const reader = new PageReader()
  reader.write(html)
  const { text, images } = reader.end()
  return { text: summarise(text) || undefined, image: images[0] }
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isJsonObject(value) ? value : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
