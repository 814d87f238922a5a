import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { LinearRegExp, PatternError } from '../util/linear-regexp.ts'
import { ConfigError } from './config-error.ts'
import type { Config } from './config.ts'
import { isLocatedMap, toPlain } from './located.ts'
import { parseYaml } from './yaml-file.ts'

const NAMESPACE_KINDS = ['users', 'aliases', 'rooms'] as const

/** Ids that an application service looks after. */
export interface AppserviceNamespace {
  readonly pattern: LinearRegExp
  /** Nobody else may make users or aliases there. */
  readonly isExclusive: boolean
}

/** A registration file. Spec: application-service-api § Registration. */
export interface AppserviceRegistration {
  readonly id: string
  /** Without a slash at the end; undefined where it wants no traffic. */
  readonly url: string | undefined
  readonly asToken: string
  readonly hsToken: string
  readonly senderLocalpart: string
  readonly namespaces: Readonly<Record<(typeof NAMESPACE_KINDS)[number], readonly AppserviceNamespace[]>>
  readonly isRateLimited: boolean
  readonly protocols: readonly string[]
  /** It gets typing, receipts, presence and messages to devices. */
  readonly receivesEphemeral: boolean
  /** It gets changed device lists (MSC3202). */
  readonly receivesDeviceLists: boolean
  /** It manages devices of its users without their passwords (MSC4190). */
  readonly managesDevices: boolean
}

/** Reads all registration files of `app_service_config_files`. Throws ConfigError with everything that is wrong. */
export function loadAppservices(config: Config): readonly AppserviceRegistration[] {
  const problems: string[] = []
  const registrations: AppserviceRegistration[] = []
  for (const file of config.users.appServiceConfigFiles) {
    const registration = readRegistration(resolve(config.directory, file), problems)
    if (!registration) continue
    for (const other of registrations) {
      if (other.id === registration.id) problems.push(`${file}: id: another application service has the id ${other.id}`)
      if (other.asToken === registration.asToken) problems.push(`${file}: as_token: ${other.id} has the same one`)
    }
    registrations.push(registration)
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return registrations
}

function readRegistration(path: string, problems: string[]): AppserviceRegistration | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    problems.push(`app_service_config_files: ${path}: ${error instanceof Error ? error.message : String(error)}`)
    return undefined
  }
  const root = parseYaml(text, path, [])
  if (!isLocatedMap(root.value)) {
    problems.push(`${path}: it is no registration: expected a mapping (name: value)`)
    return undefined
  }
  return new RegistrationReader(path, toPlain(root) as Record<string, unknown>, problems).read()
}

class RegistrationReader {
  readonly #path: string
  readonly #values: Readonly<Record<string, unknown>>
  readonly #problems: string[]

  constructor(path: string, values: Readonly<Record<string, unknown>>, problems: string[]) {
    this.#path = path
    this.#values = values
    this.#problems = problems
  }

  read(): AppserviceRegistration {
    return {
      id: this.#text('id'),
      url: this.#url(),
      asToken: this.#text('as_token'),
      hsToken: this.#text('hs_token'),
      senderLocalpart: this.#senderLocalpart(),
      namespaces: this.#namespaces(),
      isRateLimited: this.#flag('rate_limited', true),
      protocols: this.#protocols(),
      receivesEphemeral:
        this.#flag('receive_ephemeral', false) ||
        this.#flag('push_ephemeral', false) ||
        this.#flag('de.sorunome.msc2409.push_ephemeral', false),
      receivesDeviceLists: this.#flag('org.matrix.msc3202', false),
      managesDevices: this.#flag('device_management', false) || this.#flag('io.element.msc4190', false),
    }
  }

  #problem(name: string, what: string): void {
    this.#problems.push(`${this.#path}: ${name}: ${what}`)
  }

  #text(name: string): string {
    const value = this.#values[name]
    // Numbers without quotes are a common slip, and what they mean is clear.
    if (typeof value === 'number') return String(value)
    if (typeof value === 'string' && value !== '') return value
    this.#problem(name, value === undefined ? 'it is missing' : 'expected a text')
    return ''
  }

  #flag(name: string, fallback: boolean): boolean {
    const value = this.#values[name] ?? fallback
    if (typeof value === 'boolean') return value
    this.#problem(name, 'expected true or false')
    return fallback
  }

  #url(): string | undefined {
    const value = this.#values['url']
    if (value === null || value === '') return undefined
    const url = typeof value === 'string' ? URL.parse(value) : null
    if (url && (url.protocol === 'http:' || url.protocol === 'https:')) return String(value).replace(/\/+$/, '')
    this.#problem('url', value === undefined ? 'it is missing; write `url: null` for no traffic' : 'expected an HTTP URL or null')
    return undefined
  }

  #senderLocalpart(): string {
    const localpart = this.#text('sender_localpart')
    if (localpart === '' || /^[a-z0-9._=/+-]+$/.test(localpart)) return localpart
    this.#problem('sender_localpart', 'expected a user name: a-z, 0-9 and ._=-/+, without @ and server name')
    return localpart
  }

  #protocols(): readonly string[] {
    const value = this.#values['protocols'] ?? []
    if (Array.isArray(value) && value.every((protocol) => typeof protocol === 'string')) return value
    this.#problem('protocols', 'expected a list of texts')
    return []
  }

  #namespaces(): AppserviceRegistration['namespaces'] {
    const value = this.#values['namespaces'] ?? {}
    if (typeof value !== 'object' || Array.isArray(value)) {
      this.#problem('namespaces', 'expected a mapping of users, aliases and rooms')
      return { users: [], aliases: [], rooms: [] }
    }
    const all = value as Readonly<Record<string, unknown>>
    return { users: this.#list('users', all), aliases: this.#list('aliases', all), rooms: this.#list('rooms', all) }
  }

  #list(kind: (typeof NAMESPACE_KINDS)[number], all: Readonly<Record<string, unknown>>): readonly AppserviceNamespace[] {
    const list = all[kind] ?? []
    if (!Array.isArray(list)) {
      this.#problem(`namespaces.${kind}`, 'expected a list')
      return []
    }
    return list.flatMap((entry: unknown, index) => {
      const name = `namespaces.${kind}[${index}]`
      const { regex, exclusive = false } = (typeof entry === 'object' ? (entry ?? {}) : {}) as Readonly<Record<string, unknown>>
      if (typeof regex !== 'string') this.#problem(`${name}.regex`, 'expected a regular expression')
      else if (typeof exclusive !== 'boolean') this.#problem(`${name}.exclusive`, 'expected true or false')
      else return this.#namespace(name, regex, exclusive)
      return []
    })
  }

  #namespace(name: string, regex: string, isExclusive: boolean): readonly AppserviceNamespace[] {
    try {
      return [{ pattern: new LinearRegExp(regex), isExclusive }]
    } catch (error) {
      if (!(error instanceof PatternError)) throw error
      this.#problem(`${name}.regex`, `${JSON.stringify(regex)} can not be used: ${error.message}`)
      return []
    }
  }
}
