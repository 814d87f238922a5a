import { listWrittenOptions } from '../config/config.ts'
import { readEnvironment } from '../util/environment.ts'
import { CliError, EXIT } from './cli-error.ts'

const SECRET_OPTIONS = [
  'registration_shared_secret',
  'macaroon_secret_key',
  'form_secret',
  'turn_shared_secret',
  'worker_replication_secret',
]

/** Containers name the configuration in the environment, as with Synapse's image. */
export function listDefaultFiles(): string[] {
  const path = readEnvironment('SYNAPSE_CONFIG_PATH')
  return path === undefined ? [] : [path]
}

/** Refuses secrets that stand in the files themselves. Throws CliError. */
export function refuseSecrets(files: readonly string[]): void {
  const found = listWrittenOptions(files).filter((name) => SECRET_OPTIONS.includes(name))
  if (found.length > 0) {
    throw new CliError(
      `--no-secrets-in-config: ${found.join(', ')} must be in files, named by ${found.map((name) => `${name}_path`).join(', ')}`,
      {
        status: EXIT.config,
      },
    )
  }
}
