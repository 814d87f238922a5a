import { CONFIG_SECTIONS } from '../../src/config/config.ts'
import type { Option, OptionTable } from '../../src/config/option.ts'

const INTRODUCTION = `# Configuration

<!-- Made by \`npm run generate\` from the option tables in src/config/. Do not edit. -->

The file \`homeserver.yaml\` has Synapse's option names. \`ganglion homeserver -c FILE\` reads it; with several \`-c\` a later file overrides
an earlier one, option by option, and a folder means all its \`*.yaml\`, sorted. A misspelt option is an error that names the file, the line
and the nearest name. Options of Synapse that are not supported give one warning each.

A **duration** is written \`500\` (milliseconds), \`30s\`, \`5m\`, \`2h\`, \`7d\`, \`4w\` or \`1y\`; a **size** \`1024\` (bytes), \`500K\`, \`50M\` or \`2G\`
(1024 each). Where \`null\` is allowed it switches the thing off. A **rate limit** is \`{ per_second: 0.2, burst_count: 10 }\`.
`

/** Renders docs/config.md from the option tables. */
export function renderConfigPage(): string {
  const chapters = CONFIG_SECTIONS.map(({ title, options }) => `## ${title}\n\n${renderTable(options)}`)
  return `${INTRODUCTION}\n${chapters.join('\n\n')}\n`
}

function renderTable(table: OptionTable): string {
  const rows = Object.values(table).flatMap((option) => renderRows(option, ''))
  return ['| Option | Type | Default | Meaning |', '| --- | --- | --- | --- |', ...rows].join('\n')
}

function renderRows(option: Option<unknown>, path: string): string[] {
  const name = `${path}${option.name}`
  const cells = [`\`${name}\``, option.type, option.defaultText === '' ? '' : `\`${option.defaultText}\``, option.doc]
  const row = `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  if (option.inner === undefined || option.type === 'rate limit') return [row]
  const separator = option.type.startsWith('list') ? '[].' : option.type === 'mapping of mappings' ? '.*.' : '.'
  return [row, ...Object.values(option.inner).flatMap((inner) => renderRows(inner, `${name}${separator}`))]
}
