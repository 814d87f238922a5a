import { isLocatedList, toPlain } from './located.ts'
import type { Located } from './located.ts'
import type { MapReader } from './reader.ts'
import { describeValue, readMap } from './reader.ts'
import { parseDurationMs, parseSizeBytes } from './units.ts'

/** One option of `homeserver.yaml`: its name there, what it means, and how it is read. The documentation is made from this. */
export interface Option<T> {
  readonly name: string
  /** For the documentation: boolean, integer, duration … */
  readonly type: string
  /** For the documentation, as an admin would write it. */
  readonly defaultText: string
  readonly doc: string
  /** The options inside, where this is a mapping. */
  readonly inner?: OptionTable
  readonly read: (reader: MapReader) => T
}
export type OptionTable = Readonly<Record<string, Option<unknown>>>
/** What reading a table gives: one field per option. */
export type Values<Table extends OptionTable> = { readonly [Key in keyof Table]: Table[Key] extends Option<infer T> ? T : never }

/** One chapter of the configuration: a table of options with a headline. */
export interface Section<Table extends OptionTable> {
  readonly title: string
  readonly options: Table
}

/** Declares a chapter. Exists for the inference of the table's type. */
export function section<Table extends OptionTable>(title: string, options: Table): Section<Table> {
  return { title, options }
}

/** Reads all options of a table from one mapping. */
export function readTable<Table extends OptionTable>(table: Table, reader: MapReader): Values<Table> {
  const values: Record<string, unknown> = {}
  for (const [field, option] of Object.entries(table)) values[field] = option.read(reader)
  return Object.freeze(values) as Values<Table>
}

/** Reads one value, or says what was expected instead. */
export type Parse<T> = (node: Located) => { readonly ok: T } | { readonly expected: string }

interface ScalarDeclaration<T> {
  readonly name: string
  readonly type: string
  readonly parse: Parse<T>
  readonly doc: string
  readonly defaultText: string
}

/** An option with a default: used when it is missing or stands there without a value. */
export function withDefault<T, D>(declaration: ScalarDeclaration<T>, fallback: D): Option<T | D> {
  const { name, type, parse, doc, defaultText } = declaration
  const read = (reader: MapReader): T | D => {
    const node = reader.get(name)
    if (!node || node.value === null) return fallback
    const result = parse(node)
    if ('ok' in result) return result.ok
    reader.problem(node.place, name, `expected ${result.expected}, found ${describeValue(node)}`)
    return fallback
  }
  return { name, type, defaultText, doc, read }
}

/** A switch. Accepts YAML 1.1's yes, no, on and off. */
export function flag(name: string, fallback: boolean, doc: string): Option<boolean> {
  return withDefault({ name, type: 'boolean', parse: parseFlag, doc, defaultText: String(fallback) }, fallback)
}

export const parseFlag: Parse<boolean> = (node) => {
  if (typeof node.value === 'boolean') return { ok: node.value }
  if (node.value === 'true' || node.value === 'false') return { ok: node.value === 'true' }
  return { expected: 'true or false' }
}

interface Range {
  readonly min?: number
  readonly max?: number
}

/** A whole number. */
export function integer(name: string, fallback: number, doc: string, range: Range = {}): Option<number> {
  return withDefault({ name, type: 'integer', parse: parseIntegerIn(range), doc, defaultText: String(fallback) }, fallback)
}

/** A whole number that may be missing. */
export function optionalInteger(name: string, doc: string, range: Range = {}): Option<number | undefined> {
  return withDefault({ name, type: 'integer', parse: parseIntegerIn(range), doc, defaultText: 'none' }, undefined)
}

export function parseIntegerIn({ min = 0, max = Number.MAX_SAFE_INTEGER }: Range): Parse<number> {
  return ({ value }) =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max
      ? { ok: value }
      : {
          expected:
            max === Number.MAX_SAFE_INTEGER ? `a whole number of at least ${min}` : `a whole number from ${min} to ${max}`,
        }
}

/** A number, not negative. */
export function decimal(name: string, fallback: number, doc: string): Option<number> {
  return withDefault({ name, type: 'number', parse: parseDecimal, doc, defaultText: String(fallback) }, fallback)
}

export const parseDecimal: Parse<number> = ({ value }) =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? { ok: value } : { expected: 'a number of at least 0' }

/** A text with a default. */
export function text(name: string, fallback: string, doc: string): Option<string> {
  return withDefault({ name, type: 'string', parse: parseText, doc, defaultText: JSON.stringify(fallback) }, fallback)
}

/** A text that may be missing. */
export function optionalText(name: string, doc: string): Option<string | undefined> {
  return withDefault({ name, type: 'string', parse: parseText, doc, defaultText: 'none' }, undefined)
}

export const parseText: Parse<string> = ({ value }) => (typeof value === 'string' ? { ok: value } : { expected: 'a text' })

/** One of a few words. */
export function choice<const Word extends string>(
  name: string,
  words: readonly Word[],
  fallback: Word,
  doc: string,
): Option<Word> {
  const parse: Parse<Word> = ({ value }) => {
    // Unquoted `off` is `false` in YAML 1.1, and people leave the quotes away.
    const written = value === false ? 'off' : value
    const word = words.find((candidate) => candidate === written)
    return word === undefined ? { expected: `one of ${words.join(', ')}` } : { ok: word }
  }
  return withDefault({ name, type: words.join(' / '), parse, doc, defaultText: fallback }, fallback)
}

/** A duration in milliseconds; written like `5m`, or as a number of milliseconds. */
export function duration(name: string, fallback: string, doc: string): Option<number> {
  return withDefault({ name, type: 'duration', parse: parseDuration, doc, defaultText: fallback }, parseDurationMs(fallback) ?? 0)
}

export const parseDuration: Parse<number> = ({ value }) => {
  const durationMs = parseDurationMs(value)
  return durationMs === undefined || durationMs < 0
    ? { expected: 'a duration like 30s, 5m, 2h, 7d, or milliseconds' }
    : { ok: durationMs }
}

/** A duration that `null` (or `infinity`) switches off: undefined then. A missing option has the default. */
export function optionalDuration(name: string, fallback: string | undefined, doc: string): Option<number | undefined> {
  const base = withDefault<number, number | undefined>(
    { name, type: 'duration or null', parse: parseDuration, doc, defaultText: fallback ?? 'null' },
    fallback === undefined ? undefined : parseDurationMs(fallback),
  )
  const read = (reader: MapReader): number | undefined => {
    const node = reader.get(name)
    return node && (node.value === null || node.value === 'infinity') ? undefined : base.read(reader)
  }
  return { ...base, read }
}

/** A size in bytes; written like `50M`, or as a number of bytes. */
export function size(name: string, fallback: string, doc: string): Option<number> {
  return withDefault({ name, type: 'size', parse: parseSize, doc, defaultText: fallback }, parseSizeBytes(fallback) ?? 0)
}

/** A size in bytes that may be missing. */
export function optionalSize(name: string, doc: string): Option<number | undefined> {
  return withDefault({ name, type: 'size', parse: parseSize, doc, defaultText: 'none' }, undefined)
}

export const parseSize: Parse<number> = ({ value }) => {
  const sizeBytes = parseSizeBytes(value)
  return sizeBytes === undefined ? { expected: 'a size like 500K, 50M, 2G, or bytes' } : { ok: sizeBytes }
}

/** A list of texts. */
export function textList(name: string, fallback: readonly string[], doc: string): Option<readonly string[]> {
  return withDefault(
    { name, type: 'list of strings', parse: parseTextList, doc, defaultText: JSON.stringify(fallback) },
    fallback,
  )
}

/** A list of texts whose absence means something else than an empty one. */
export function optionalTextList(name: string, doc: string): Option<readonly string[] | undefined> {
  return withDefault({ name, type: 'list of strings', parse: parseTextList, doc, defaultText: 'none' }, undefined)
}

export const parseTextList: Parse<readonly string[]> = ({ value }) => {
  if (!isLocatedList(value)) return { expected: 'a list of texts' }
  const items = value.map((item) => item.value)
  return items.every((item) => typeof item === 'string') ? { ok: items } : { expected: 'a list of texts' }
}

/** A mapping or list that is handed on as it is written. */
export function plainObject(name: string, doc: string): Option<Readonly<Record<string, unknown>>> {
  const parse: Parse<Readonly<Record<string, unknown>>> = (node) =>
    node.value instanceof Map ? { ok: toPlain(node) as Record<string, unknown> } : { expected: 'a mapping' }
  return withDefault({ name, type: 'mapping', parse, doc, defaultText: '{}' }, {})
}

/** A mapping with options of its own. Missing, all of them have their defaults. */
export function group<Table extends OptionTable>(name: string, inner: Table, doc: string): Option<Values<Table>> {
  const read = (reader: MapReader): Values<Table> => {
    const child = reader.child(name)
    const values = readTable(inner, child)
    child.reportUnknown()
    return values
  }
  return { name, type: 'mapping', defaultText: '', doc, inner, read }
}

/** A list of mappings with options of their own. */
export function groupList<Table extends OptionTable>(
  name: string,
  inner: Table,
  doc: string,
  fallback: readonly Values<Table>[] = [],
): Option<readonly Values<Table>[]> {
  const read = (reader: MapReader): readonly Values<Table>[] => {
    const node = reader.get(name)
    if (!node || node.value === null) return fallback
    if (!isLocatedList(node.value)) {
      reader.problem(node.place, name, `expected a list, found ${describeValue(node)}`)
      return fallback
    }
    return node.value.map((item, index) => {
      const child = readMap(item, `${reader.nameOf(name)}[${index}]`, reader.context)
      const values = readTable(inner, child)
      child.reportUnknown()
      return values
    })
  }
  return { name, type: 'list of mappings', defaultText: fallback.length === 0 ? '[]' : 'see the sentence', doc, inner, read }
}

/** A mapping from names of the admin's choice to mappings with options. */
export function groupMap<Table extends OptionTable>(
  name: string,
  inner: Table,
  doc: string,
): Option<ReadonlyMap<string, Values<Table>>> {
  const read = (reader: MapReader): ReadonlyMap<string, Values<Table>> => {
    const values = new Map<string, Values<Table>>()
    for (const [key, entry] of reader.child(name).entries()) {
      const child = readMap(entry.node, `${reader.nameOf(name)}.${key}`, reader.context)
      values.set(key, readTable(inner, child))
      child.reportUnknown()
    }
    return values
  }
  return { name, type: 'mapping of mappings', defaultText: '{}', doc, inner, read }
}

/** A secret: written here, or in a file that `<name>_path` names. Its value never appears in a message. */
export function secret(name: string, doc: string): Option<string | undefined> {
  const read = (reader: MapReader): string | undefined => {
    const node = reader.get(name)
    const pathNode = reader.get(`${name}_path`)
    if (pathNode && pathNode.value !== null) return readSecretFile(reader, name, pathNode, node)
    if (!node || node.value === null) return undefined
    if (typeof node.value === 'string') return node.value
    reader.problem(node.place, name, 'expected a text; put it in quotes')
    return undefined
  }
  return {
    name,
    type: 'string',
    defaultText: 'none',
    doc: `${doc} Or give the name of a file that holds it in \`${name}_path\`.`,
    read,
  }
}

function readSecretFile(reader: MapReader, name: string, pathNode: Located, node: Located | undefined): string | undefined {
  if (node && node.value !== null) reader.problem(node.place, name, `\`${name}\` and \`${name}_path\` cannot both be given`)
  if (typeof pathNode.value !== 'string') {
    reader.problem(pathNode.place, `${name}_path`, `expected the name of a file, found ${describeValue(pathNode)}`)
    return undefined
  }
  try {
    return reader.context.readFile(pathNode.value).trim()
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    reader.problem(pathNode.place, `${name}_path`, `cannot read it: ${reason}`)
    return undefined
  }
}

/** Reads the option and refuses values that `check` finds fault with. */
export function checked<T>(option: Option<T>, check: (value: T) => string | undefined): Option<T> {
  const read = (reader: MapReader): T => {
    const value = option.read(reader)
    const fault = check(value)
    const node = reader.get(option.name)
    if (fault !== undefined && node) reader.problem(node.place, option.name, fault)
    return value
  }
  return { ...option, read }
}
