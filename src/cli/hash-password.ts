import { loadConfig } from '../config/config.ts'
import { PasswordHasher } from '../services/accounts/password-hasher.ts'
import { CliError, EXIT } from './cli-error.ts'
import { print } from './command.ts'
import type { Command } from './command.ts'
import { parseFlags } from './flags.ts'
import { Prompt } from './prompt.ts'

const FLAGS = {
  password: { type: 'string', short: 'p', value: 'PASSWORD', doc: 'The password; asked for when it is missing.' },
  config: { type: 'string', short: 'c', multiple: true, value: 'FILE', doc: 'Configuration, for bcrypt_rounds and the pepper.' },
} as const

/** Hashes a password as the server stores it. Flags as Synapse's `hash_password`. */
export const hashPasswordCommand: Command = {
  name: 'hash-password',
  summary: 'Hashes a password as the server stores it.',
  usage: '-c FILE [-p PASSWORD]',
  flags: FLAGS,
  async run(args) {
    const { flags } = parseFlags(args, FLAGS)
    if (flags.config === undefined) throw new CliError('name the configuration with -c: the hash depends on its pepper')
    const { bcryptRounds, passwordConfig } = loadConfig(flags.config).registration
    const password = flags.password ?? (await askPassword())
    print(await new PasswordHasher({ rounds: bcryptRounds, pepper: passwordConfig.pepper }).hash(password))
    return EXIT.ok
  },
}

async function askPassword(): Promise<string> {
  using prompt = new Prompt()
  return await prompt.askNewPassword()
}
