import { mkdtempSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { formatTimestamp, thumbnailUrl } from './template-filters.ts'
import { parseLanguages, SafeHtml, TemplateRenderer } from './template-renderer.ts'

function makeRenderer(files: Readonly<Record<string, string>>): TemplateRenderer {
  const directory = mkdtempSync(join(tmpdir(), 'ganglion-templates-'))
  mkdirSync(join(directory, 'de'))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  return new TemplateRenderer({
    directories: [undefined, directory],
    publicBaseUrl: 'https://hs.example/',
    common: { server_name: 'hs.example', app_name: 'Matrix' },
  })
}

test('values are escaped in pages and not in texts; what is safe stays as it is', async () => {
  const renderer = makeRenderer({ 'a.html': '{{ x }} {{ safe }}', 'a.txt': '{{ x }}' })
  expect(await renderer.render('a.html', { x: '<b>', safe: new SafeHtml('<i>') })).toBe('&lt;b&gt; <i>')
  expect(await renderer.render('a.txt', { x: '<b>' })).toBe('<b>')
})

test("templates written for Synapse's Jinja2 load", async () => {
  const renderer = makeRenderer({
    'outer.html': [
      `{%- include 'mail.css' without context %}{%- include "mail-%s.css" % app_name ignore missing without context %}`,
      `{%- for room in rooms %}{%- include 'inner.html' with context %}{%- endfor %}`,
      `{% if error is defined %}error{% elif None is none and True %}none{% endif %} {{ "%.1f"|format(600000 / (60*1000)) }}`,
    ].join('\n'),
    'inner.html': `{{ "odd" if room.hash % 3 == 1 else "even" }}{{ loop.index0 }}`,
    'mail.css': 'x',
    'mail-Matrix.css': 'y',
  })
  expect(await renderer.render('outer.html', { rooms: [{ hash: 4 }], error: undefined })).toBe('xyodd0\nnone 10.0')
})

test("an administrator's template comes before ours, and one in the reader's language before both", async () => {
  const renderer = makeRenderer({ 'registration.txt': 'mine', 'de/registration.txt': 'meine' })
  expect(await renderer.render('registration.txt')).toBe('mine')
  const other = makeRenderer({ 'unsubscribe_success.html': 'mine' })
  expect(await other.render('unsubscribe_success.html', {}, ['de'])).toBe('mine')
  expect(await renderer.render('registration.txt', {}, parseLanguages('fr, de-AT;q=0.9, en;q=0.1'))).toBe('meine')
  expect(await renderer.render('registration.txt', {}, parseLanguages('en, de;q=0.9'))).toBe('mine')
  expect(await renderer.render('add_threepid.txt', { link: 'https://x' })).toContain('https://x')
  await expect(renderer.render('nothing.html')).rejects.toThrow('nothing.html')
})

test('times and media addresses are written as Synapse writes them', () => {
  const time = new Date(2026, 10, 4, 15, 7, 9).getTime()
  expect(formatTimestamp(time, '%d-%m-%Y %H:%M|%c|%I %p %Q')).toBe('04-11-2026 15:07|Wed Nov  4 15:07:09 2026|03 PM %Q')
  expect(thumbnailUrl('https://a/', 'mxc://b/c', { width: 48, height: 32, method: 'scale' })).toBe(
    'https://a/_matrix/media/v3/thumbnail/b/c?width=48&height=32&method=scale',
  )
  expect(thumbnailUrl('https://a/', 'javascript:x', { width: 1, height: 1, method: undefined })).toBe('')
})

test('every page and mail of ours renders, in every language', async () => {
  const renderer = new TemplateRenderer({ directories: [], publicBaseUrl: 'https://hs.example/', common: { server_name: 'hs' } })
  const folder = join(import.meta.dirname, 'default')
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => /\.(html|txt)$/.test(name))
  expect(names.length).toBeGreaterThan(40)
  const rooms = [{ title: 'R', notifs: [{ messages: [{ sender_name: 'S', event_type: 'm.room.message' }] }] }]
  for (const name of names) {
    const text = await renderer.render(name, { rooms, link: 'https://link', expiration_ts: 1 })
    expect(text.trim(), name).not.toBe('')
    expect(text, name).not.toMatch(/\{[{%]/)
  }
  expect(await renderer.render('unsubscribe_success.html', {}, ['de'])).toContain('<html lang="de">')
})
