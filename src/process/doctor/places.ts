import { readFileSync } from 'node:fs'
import { formatPlace } from '../../config/config-error.ts'
import { isLocatedMap } from '../../config/located.ts'
import type { Located } from '../../config/located.ts'
import { parseYaml } from '../../config/yaml-file.ts'

/** Knows where options stand in the configuration files. */
export class Places {
  readonly #documents = new Map<string, Located>()

  /** Takes a file in. One that is no YAML is left out: reading the configuration has complained about it already. */
  add(file: string): void {
    try {
      this.#documents.set(file, parseYaml(readFileSync(file, 'utf8'), file, []))
    } catch (error) {
      if (!(error instanceof Error)) throw error
    }
  }

  /** `file:line:column: a.b` of the option in the last of the files that has it; of the first file, where none has. */
  of(files: readonly string[], ...path: readonly string[]): string {
    for (const file of files.toReversed()) {
      const place = this.find(file, path)
      if (place !== undefined) return `${place}: ${path.join('.')}`
    }
    return `${files[0] ?? 'configuration'}: ${path.join('.')}`
  }

  /** `file:line:column` of the option; undefined where the file does not have it. */
  find(file: string, path: readonly string[]): string | undefined {
    let node = this.#documents.get(file)
    let found: string | undefined
    for (const name of path) {
      if (node === undefined || !isLocatedMap(node.value)) return undefined
      const entry = node.value.get(name)
      if (entry === undefined) return undefined
      found = formatPlace(entry.place)
      node = entry.node
    }
    return found
  }

  /** The text of an option at the top of a file; undefined where it is none. */
  textOf(file: string, option: string): string | undefined {
    const value = this.#documents.get(file)?.value
    const text = value !== undefined && isLocatedMap(value) ? value.get(option)?.node.value : undefined
    return typeof text === 'string' ? text : undefined
  }

  /** The options that stand at the top of a file. */
  listOptions(file: string): readonly string[] {
    const value = this.#documents.get(file)?.value
    return value !== undefined && isLocatedMap(value) ? [...value.keys()] : []
  }

  /** Gives a problem that names only file and option its line. */
  addLine(problem: string): string {
    const [, file = '', option = '', rest = ''] = /^(.+?\.ya?ml): ([A-Za-z_0-9.]+): (.*)$/s.exec(problem) ?? []
    const place = this.find(file, option.split('.')) ?? this.find(file, option.split('.').slice(0, 1))
    return place === undefined ? problem : `${place}: ${option}: ${rest}`
  }
}
