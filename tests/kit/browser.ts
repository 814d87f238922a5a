import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import puppeteer from 'puppeteer-core'
import type { Browser, Page } from 'puppeteer-core'
import { environmentVariable } from './environment.ts'

const COMMANDS = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome']
/** A browser and a server share two slow cores with other tests. */
const WAIT_MS = 60_000

/** Starts the system's Chromium without a window. */
export function startBrowser(): Promise<Browser> {
  return puppeteer.launch({
    executablePath: findBrowser(),
    headless: 'shell',
    // As root there is no sandbox; and /dev/shm of a container may be small.
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--lang=en'],
    protocolTimeout: 120_000,
  })
}

/** Opens a page of its own storage, as another person's browser. */
export async function openPage(browser: Browser, url: string): Promise<Page> {
  const context = await browser.createBrowserContext()
  const page = await context.newPage()
  await page.setViewport({ width: 1100, height: 800 })
  page.setDefaultTimeout(WAIT_MS)
  await page.goto(url)
  return page
}

/** Keeps a picture of the page where TEST_SCREENSHOTS names a folder. */
export async function takeScreenshot(page: Page, name: string): Promise<void> {
  const directory = environmentVariable('TEST_SCREENSHOTS')
  if (directory !== undefined) await page.screenshot({ path: join(directory, `${name}.png`) as `${string}.png` })
}

function findBrowser(): string {
  for (const command of COMMANDS) {
    for (const folder of (environmentVariable('PATH') ?? '').split(delimiter)) {
      try {
        accessSync(join(folder, command), constants.X_OK)
        return join(folder, command)
      } catch {
        // Not in this folder.
      }
    }
  }
  throw new Error(`There is no browser; one of these is needed: ${COMMANDS.join(', ')}`)
}
