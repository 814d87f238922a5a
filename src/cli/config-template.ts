import type { Random } from '../util/random.ts'

const SECRET_BYTES = 36

/** What a new configuration file says. */
export interface ConfigTemplate {
  readonly serverName: string
  /** Folder of the signing key. */
  readonly configDirectory: string
  /** Folder of media and the embedded database. */
  readonly dataDirectory: string
  readonly port: number
  readonly bindAddresses: readonly string[]
  /** A URL that clients can use, when one is known. */
  readonly publicBaseUrl?: string
  readonly logConfig?: string
  readonly withMetricsListener?: boolean
}

/** Writes a commented `homeserver.yaml` with fresh secrets. */
export function buildConfigFile(template: ConfigTemplate, random: Random): string {
  const { serverName, configDirectory, dataDirectory, port, bindAddresses } = template
  const quote = (value: string): string => JSON.stringify(value)
  const secret = (): string => quote(random.bytes(SECRET_BYTES).toString('base64url'))
  return `# Configuration of Ganglion, a Matrix homeserver. Option names are Synapse's; docs/config.md lists all of them.
# After a change, restart the server.

# The name of the server: what stands after the colon in @user:name. It can never be changed.
server_name: ${quote(serverName)}

# The URL that clients reach this server by, for example https://matrix.example.com/
${template.publicBaseUrl === undefined ? '# public_baseurl: https://' + serverName + '/' : `public_baseurl: ${quote(template.publicBaseUrl)}`}

# Where the server listens. To be reached from other machines, put a reverse proxy with TLS in front.
listeners:
  - port: ${port}
    type: http
    tls: false
    bind_addresses: ${JSON.stringify(bindAddresses)}
    # Believe the client address that a proxy names. Only safe when nobody else can connect.
    x_forwarded: ${bindAddresses.every((address) => ['127.0.0.1', '::1'].includes(address))}
    resources:
      - names: [client, federation]
        compress: false
${template.withMetricsListener === true ? '  - port: 19090\n    type: metrics\n    bind_addresses: ["127.0.0.1"]\nenable_metrics: true\n' : ''}
# PostgreSQL comes with the program. For an outside one:
#   database: { name: psycopg2, args: { host: localhost, user: ganglion, password: secret, dbname: ganglion, cp_max: 10 } }
database:
  name: embedded
  data_directory: ${quote(`${dataDirectory}/postgresql`)}

media_store_path: ${quote(`${dataDirectory}/media_store`)}
# max_upload_size: 50M

# Who may make accounts. Closed: administrators make them, with the command register-user.
enable_registration: false
# registration_requires_token: true

# Secrets. Whoever knows the first one can make accounts, administrators included.
registration_shared_secret: ${secret()}
macaroon_secret_key: ${secret()}
form_secret: ${secret()}

# The key that signs this server's events. Keep a copy: without it the name is lost for other servers.
signing_key_path: ${quote(`${configDirectory}/${serverName.replace(/:/g, '_')}.signing.key`)}
trusted_key_servers:
  - server_name: "matrix.org"
suppress_key_server_warning: true

# A Python-style log configuration. Without it the log goes to standard error.
${template.logConfig === undefined ? '# log_config: ' + quote(`${configDirectory}/log.yaml`) : `log_config: ${quote(template.logConfig)}`}

# This server never reports anything to anyone.
report_stats: false
`
}

/** Writes a `log_config` that writes to a file, moved away at midnight. */
export function buildLogConfigFile(logFile: string): string {
  return `# Log configuration, in the form of Python's logging.config.dictConfig.
version: 1
formatters:
  precise:
    format: '%(asctime)s - %(name)s - %(levelname)s - %(message)s'
handlers:
  file:
    class: logging.handlers.TimedRotatingFileHandler
    formatter: precise
    filename: ${JSON.stringify(logFile)}
    when: midnight
    backupCount: 3
  console:
    class: logging.StreamHandler
    formatter: precise
loggers:
  # A level of its own for one part of the program:
  # storage: { level: DEBUG }
root:
  level: INFO
  handlers: [file]
disable_existing_loggers: false
`
}
