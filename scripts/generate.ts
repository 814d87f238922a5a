import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ROOT } from './check/run.ts'
import { renderConfigPage } from './generate/config-page.ts'
import { renderEndpointsPage } from './generate/endpoints-page.ts'
import { renderMetricsPage } from './generate/metrics-page.ts'

/** Files that are made from the source: path and how to make its content. */
const GENERATORS: Readonly<Record<string, () => string>> = {
  'docs/config.md': renderConfigPage,
  'docs/endpoints.md': renderEndpointsPage,
  'docs/metrics.md': renderMetricsPage,
}

/** Names generated files whose content on disk differs from what the source gives. */
export function findStaleFiles(): { looked: number; problems: readonly string[] } {
  const problems = Object.entries(GENERATORS)
    .filter(([path, render]) => !existsSync(join(ROOT, path)) || readFileSync(join(ROOT, path), 'utf8') !== render())
    .map(([path]) => `${path} is stale; \`npm run generate\` makes it anew`)
  return { looked: Object.keys(GENERATORS).length, problems }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const [path, render] of Object.entries(GENERATORS)) {
    mkdirSync(dirname(join(ROOT, path)), { recursive: true })
    writeFileSync(join(ROOT, path), render())
    process.stdout.write(`${path}\n`)
  }
}
