import { createReadStream } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import type { Browser, Page } from 'puppeteer-core'
import sharp from 'sharp'
import { build } from 'vite'
import { afterAll, beforeAll, test } from 'vitest'
import { openPage, startBrowser, takeScreenshot } from '../kit/browser.ts'
import { TestServer } from '../kit/test-server.ts'

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.wasm': 'application/wasm',
  '.svg': 'image/svg+xml',
}
const SERVICE_WORKER = createRequire(import.meta.url)
  .resolve('hydrogen-view-sdk')
  .replace('hydrogen.cjs.js', 'sw.js')
let directory: string
let server: TestServer
let site: Server
let siteUrl: string
let browser: Browser

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'web-client-'))
  await build({
    root: join(import.meta.dirname, 'web-client'),
    configFile: false,
    logLevel: 'silent',
    build: { outDir: directory, emptyOutDir: true, target: 'esnext', assetsInlineLimit: 0 },
  })
  site = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://site')
    const file = pathname === '/sw.js' ? SERVICE_WORKER : join(directory, pathname === '/' ? 'index.html' : pathname)
    response.setHeader('content-type', TYPES[extname(file)] ?? 'application/octet-stream')
    createReadStream(file)
      .on('error', () => response.writeHead(404).end())
      .pipe(response)
  })
  await new Promise<void>((resolve) => void site.listen(0, '127.0.0.1', resolve))
  siteUrl = `http://127.0.0.1:${(site.address() as AddressInfo).port}/`
  ;[server, browser] = await Promise.all([TestServer.start({ config: { public_baseurl: null } }), startBrowser()])
})

afterAll(async () => {
  await browser?.close()
  await server?.[Symbol.asyncDispose]()
  site?.closeAllConnections()
  site?.close()
  await rm(directory, { recursive: true, force: true })
})

async function logIn(localpart: string): Promise<Page> {
  const page = await openPage(browser, `${siteUrl}?homeserver=${encodeURIComponent(server.baseUrl)}`)
  await page.locator('#username').fill(localpart)
  await page.locator('#password').fill(`password of ${localpart}`)
  await page.locator('button[type=submit]').click()
  await page.locator('.LeftPanel').wait()
  return page
}

async function say(page: Page, text: string): Promise<void> {
  await page.locator('.MessageComposer_input textarea').fill(text)
  await page.locator('.MessageComposer_input .send').click()
}

function sees(page: Page, text: string): Promise<unknown> {
  return page.locator(`.Timeline ::-p-text(${text})`).wait()
}

test('people log in with a browser, chat in an encrypted room, and show each other pictures', async () => {
  for (const name of ['alice', 'bob']) await server.register(name, { password: `password of ${name}` })
  const [alice, bob] = await Promise.all([logIn('alice'), logIn('bob')])
  await takeScreenshot(alice, '1-logged-in')

  const sessionUrl = alice.url().replace(/\/room.*/, '')
  await alice.goto(`${sessionUrl}/create-room`)
  await alice.locator('#name').fill('Tea party')
  await alice.locator('#isEncrypted:checked').wait()
  await alice.locator('.CreateRoomView_detailsForm button[type=submit]').click()
  await alice.locator('.LeftPanel ::-p-text(Tea party)').click()
  await alice.locator('.MessageComposer_input textarea').wait()
  await say(alice, '/invite @bob:test.example')
  await takeScreenshot(alice, '2-room')

  await bob.locator('.LeftPanel ::-p-text(Tea party)').click()
  await bob.locator('.InviteView .button-action.primary').click()
  await bob.locator('.MessageComposer_input textarea').wait()
  await say(bob, 'is there tea?')
  await sees(alice, 'is there tea?')
  await say(alice, 'there always is')
  await sees(bob, 'there always is')

  const picture = join(directory, 'cup.png')
  const raw = { create: { width: 320, height: 200, channels: 3, background: '#c2185b' } } as const
  await writeFile(picture, await sharp(raw).png().toBuffer())
  await alice.locator('.MessageComposer_input .sendFile').click()
  const [chooser] = await Promise.all([alice.waitForFileChooser(), alice.locator('::-p-text(Send picture)').click()])
  await chooser.accept([picture])
  await bob.waitForFunction(
    `[...document.querySelectorAll('.Timeline .media img')].some((image) => image.complete && image.naturalWidth >= 320)`,
  )
  await takeScreenshot(alice, '3-alice')
  await takeScreenshot(bob, '3-bob')
})
