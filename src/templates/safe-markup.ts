import { SafeHtml } from './template-renderer.ts'

/** What a message may contain in a mail; other tags are left out, their text stays. Spec: client-server-api § m.room.message msgtypes. */
const TAGS = new Set(
  (
    'font del h3 h4 h5 h6 blockquote p a ul ol li b i u strong em strike s code hr br div span table thead caption tbody tr th td ' +
    'pre sup sub'
  ).split(' '),
)
const VOID_TAGS = new Set(['br', 'hr'])
/** Their text is none. */
const SILENT_TAGS = new Set(['script', 'style', 'mx-reply', 'iframe', 'noscript', 'textarea', 'title'])
const DEPTH_MAX = 100
const LENGTH_MAX = 200_000
const LINK = /\bhttps?:\/\/[^\s<>"']{1,2000}/g
const COLOR = /^(#[0-9a-fA-F]{3,8}|[a-zA-Z]{1,20})$/

/** Makes plain text safe for a page, with its links as links. */
export function safeText(text: string): SafeHtml {
  return new SafeHtml(linkified(text.slice(0, LENGTH_MAX)).replaceAll('\n', '<br>'))
}

/** Leaves of HTML from strangers only what is harmless. */
export async function safeMarkup(html: string): Promise<SafeHtml> {
  const { Parser } = await import('htmlparser2')
  let out = ''
  const open: string[] = []
  let silent = 0
  const parser = new Parser({
    onopentag(name, attributes) {
      if (SILENT_TAGS.has(name)) silent++
      if (silent > 0 || !TAGS.has(name) || open.length >= DEPTH_MAX) return
      out += `<${name}${safeAttributes(name, attributes)}>`
      if (!VOID_TAGS.has(name)) open.push(name)
    },
    ontext(text) {
      if (silent === 0) out += open.includes('a') ? escapeHtml(text) : linkified(text)
    },
    onclosetag(name) {
      if (SILENT_TAGS.has(name)) silent = Math.max(0, silent - 1)
      if (VOID_TAGS.has(name) || !open.includes(name)) return
      for (let last = open.pop(); last !== undefined; last = open.pop()) {
        out += `</${last}>`
        if (last === name) break
      }
    },
  })
  parser.end(html.slice(0, LENGTH_MAX))
  while (open.length > 0) out += `</${open.pop() ?? ''}>`
  return new SafeHtml(out)
}

function safeAttributes(name: string, attributes: Readonly<Record<string, string>>): string {
  const { href, color } = attributes
  if (name === 'a' && href !== undefined && /^(https?|mailto|matrix):/i.test(href))
    return ` href="${escapeHtml(href)}" rel="noopener noreferrer"`
  if (name === 'font' && color !== undefined && COLOR.test(color)) return ` color="${color}"`
  return ''
}

function linkified(text: string): string {
  let out = ''
  let end = 0
  for (const match of text.matchAll(LINK)) {
    const url = escapeHtml(match[0])
    out += `${escapeHtml(text.slice(end, match.index))}<a href="${url}" rel="noopener noreferrer">${url}</a>`
    end = match.index + match[0].length
  }
  return out + escapeHtml(text.slice(end))
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
