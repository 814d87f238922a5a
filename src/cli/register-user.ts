import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { request } from 'undici'
import { loadConfig } from '../config/config.ts'
import type { Config } from '../config/config.ts'
import { isJsonObject } from '../protocol/json.ts'
import { CliError, EXIT } from './cli-error.ts'
import { print, printError } from './command.ts'
import type { Command } from './command.ts'
import { parseFlags } from './flags.ts'
import type { Parsed } from './flags.ts'
import { Prompt } from './prompt.ts'

const FLAGS = {
  user: { type: 'string', short: 'u', value: 'NAME', doc: 'Localpart of the new user; asked for when it is missing.' },
  password: { type: 'string', short: 'p', value: 'PASSWORD', doc: 'Its password; asked for when it is missing.' },
  'password-file': { type: 'string', value: 'FILE', doc: 'A file with the password.' },
  user_type: { type: 'string', short: 't', value: 'TYPE', doc: 'Type of the user: bot, support.' },
  admin: { type: 'boolean', short: 'a', doc: 'Makes an administrator.' },
  'no-admin': { type: 'boolean', doc: 'Makes a normal user; without either flag you are asked.' },
  'exists-ok': { type: 'boolean', doc: 'It is no failure when the user exists.' },
  'shared-secret': { type: 'string', short: 'k', value: 'SECRET', doc: 'The registration_shared_secret.' },
  config: { type: 'string', short: 'c', multiple: true, value: 'FILE', doc: 'Or the configuration that has it.' },
} as const
const DEFAULT_URL = 'http://localhost:8008'
const REQUEST_TIMEOUT_MS = 30_000
type Flags = Parsed<typeof FLAGS>['flags']

/** Makes an account with the shared secret. Flags and protocol as Synapse's `register_new_matrix_user`. */
export const registerUserCommand: Command = {
  name: 'register-user',
  summary: 'Makes an account on a running server.',
  usage: '-u NAME [-p PASSWORD] [-a | --no-admin] (-c FILE | -k SECRET) [URL]',
  flags: FLAGS,
  async run(args) {
    const { flags, positionals } = parseFlags(args, FLAGS, { positionalsMax: 1 })
    if ((flags.config === undefined) === (flags['shared-secret'] === undefined))
      throw new CliError('give either -c FILE or -k SECRET')
    if (flags.admin === true && flags['no-admin'] === true) throw new CliError('-a and --no-admin exclude each other')
    const config = flags.config === undefined ? undefined : loadConfig(flags.config)
    const secret = flags['shared-secret'] ?? config?.registration.registrationSharedSecret
    if (secret === undefined || secret === '') {
      throw new CliError('the configuration has no registration_shared_secret: add one and restart the server', {
        status: EXIT.config,
      })
    }
    const url = (positionals[0] ?? findUrl(config)).replace(/\/+$/, '')
    const person = await askMissing(flags)
    return register({ url, secret, ...person, userType: flags.user_type, isExistingOk: flags['exists-ok'] === true })
  },
}

interface Registration {
  readonly url: string
  readonly secret: string
  readonly username: string
  readonly password: string
  readonly isAdmin: boolean
  readonly userType: string | undefined
  readonly isExistingOk: boolean
}

async function register(registration: Registration): Promise<number> {
  const { username, password, isAdmin, userType } = registration
  const url = `${registration.url}/_synapse/admin/v1/register`
  const challenge = await send(url, undefined)
  const { nonce } = challenge.body
  if (challenge.status !== 200 || typeof nonce !== 'string') return fail(challenge)
  print('Sending registration request...')
  const answer = await send(url, {
    nonce,
    username,
    password,
    mac: computeMac(registration, nonce),
    admin: isAdmin,
    user_type: userType ?? null,
  })
  if (answer.status === 200) {
    print('Success!')
    return EXIT.ok
  }
  if (registration.isExistingOk && answer.body['errcode'] === 'M_USER_IN_USE') {
    print('User already exists. Skipping.')
    return EXIT.ok
  }
  return fail(answer)
}

/** Proves that we know the secret, without sending it. Synapse: docs/admin_api/register_api.md. */
function computeMac({ secret, username, password, isAdmin, userType }: Registration, nonce: string): string {
  const parts = [nonce, username, password, isAdmin ? 'admin' : 'notadmin', ...(userType === undefined ? [] : [userType])]
  return createHmac('sha1', secret).update(parts.join('\u0000')).digest('hex')
}

interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

async function send(url: string, body: object | undefined): Promise<Answer> {
  try {
    const response = await request(url, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { 'content-type': 'application/json' },
      headersTimeout: REQUEST_TIMEOUT_MS,
      bodyTimeout: REQUEST_TIMEOUT_MS,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const answer: unknown = await response.body.json().catch(() => undefined)
    return { status: response.statusCode, body: isJsonObject(answer) ? answer : {} }
  } catch (error) {
    throw new CliError(`no server answers at ${url}: ${error instanceof Error ? error.message : String(error)}`, {
      status: EXIT.failed,
      cause: error,
    })
  }
}

function fail({ status, body }: Answer): number {
  printError(`ERROR! Received ${status}`)
  if (typeof body['error'] === 'string') printError(body['error'])
  return EXIT.failed
}

function findUrl(config: Config | undefined): string {
  const listener = config?.listeners.find(
    ({ type, tls, port, resources }) =>
      type === 'http' && !tls && port !== undefined && resources.some(({ names }) => names.includes('client')),
  )
  if (listener?.port !== undefined) return `http://localhost:${listener.port}`
  printError(`No URL given, and no listener for clients in a configuration; trying ${DEFAULT_URL}.`)
  return DEFAULT_URL
}

/** Asks for what the flags do not say. */
async function askMissing(flags: Flags): Promise<Pick<Registration, 'username' | 'password' | 'isAdmin'>> {
  const isAdmin = flags.admin === true ? true : flags['no-admin'] === true ? false : undefined
  const password = flags['password-file'] === undefined ? flags.password : readFileSync(flags['password-file'], 'utf8').trim()
  // Opened only when there is something to ask: it takes the input for itself.
  if (flags.user !== undefined && password !== undefined && isAdmin !== undefined)
    return { username: flags.user, password, isAdmin }
  using prompt = new Prompt()
  return {
    username: flags.user ?? (await askName(prompt)),
    password: password ?? (await prompt.askNewPassword()),
    isAdmin: isAdmin ?? ['y', 'yes', 'true'].includes((await prompt.ask('Make admin [no]: ')).toLowerCase()),
  }
}

async function askName(prompt: Prompt): Promise<string> {
  const own = userInfo().username
  const name = await prompt.ask(`New user localpart [${own}]: `)
  return name === '' ? own : name
}
