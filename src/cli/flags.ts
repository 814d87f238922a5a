import { parseArgs } from 'node:util'
import { findNearest } from '../util/nearest.ts'
import { CliError } from './cli-error.ts'

/** One flag of a command. */
export interface Flag {
  readonly type: 'string' | 'boolean'
  readonly short?: string
  /** May be given more than once. */
  readonly multiple?: boolean
  /** What the value is called in the help text. */
  readonly value?: string
  readonly doc: string
}
export type FlagTable = Readonly<Record<string, Flag>>

/** What was given on the command line. */
export interface Parsed<Table extends FlagTable> {
  readonly flags: { readonly [Name in keyof Table]?: FlagValue<Table[Name]> }
  readonly positionals: readonly string[]
}
type FlagValue<F> = F extends { multiple: true } ? string[] : F extends { type: 'boolean' } ? boolean : string

const COMMON: FlagTable = {
  help: { type: 'boolean', short: 'h', doc: 'Shows this text.' },
}

/** Reads a command line. Throws CliError naming the nearest flag where one is unknown. */
export function parseFlags<Table extends FlagTable>(
  args: readonly string[],
  table: Table,
  options: { positionalsMax?: number } = {},
): Parsed<Table & typeof COMMON> {
  const all: FlagTable = { ...COMMON, ...table }
  const { tokens, values, positionals } = parseArgs({
    args: [...args],
    options: toNodeOptions(all),
    strict: false,
    tokens: true,
    allowPositionals: true,
  })
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    const flag = all[token.name]
    if (flag === undefined) throw new CliError(describeUnknown(token.rawName, all))
    if (
      flag.type === 'string' &&
      (token.value === undefined || (!token.inlineValue && token.value.startsWith('-') && token.value.length > 1))
    ) {
      throw new CliError(`${token.rawName} needs a value: ${flag.value ?? 'VALUE'}`)
    }
    if (flag.type === 'boolean' && token.value !== undefined) throw new CliError(`${token.rawName} takes no value`)
  }
  const extra = positionals[options.positionalsMax ?? 0]
  if (extra !== undefined) throw new CliError(`unexpected argument ${JSON.stringify(extra)}`)
  return { flags: values as Parsed<Table & typeof COMMON>['flags'], positionals }
}

/** The flags part of a help text. */
export function describeFlags(table: FlagTable): string {
  const rows = Object.entries({ ...table, ...COMMON }).map(([name, flag]) => {
    const short = flag.short === undefined ? '    ' : `-${flag.short}, `
    return [`  ${short}--${name}${flag.type === 'string' ? ` ${flag.value ?? 'VALUE'}` : ''}`, flag.doc] as const
  })
  const width = Math.max(...rows.map(([left]) => left.length)) + 2
  return rows.map(([left, doc]) => `${left.padEnd(width)}${doc}`).join('\n')
}

function toNodeOptions(table: FlagTable): Record<string, { type: 'string' | 'boolean'; short?: string; multiple?: boolean }> {
  return Object.fromEntries(
    Object.entries(table).map(([name, { type, short, multiple }]) => [
      name,
      { type, ...(short === undefined ? {} : { short }), ...(multiple === undefined ? {} : { multiple }) },
    ]),
  )
}

function describeUnknown(rawName: string, table: FlagTable): string {
  const nearest = findNearest(rawName.replace(/^-+/, ''), Object.keys(table))
  return nearest === undefined ? `there is no flag ${rawName}` : `there is no flag ${rawName}; did you mean --${nearest}?`
}
