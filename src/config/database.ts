import { section } from './option.ts'
import type { Option } from './option.ts'
import { describeValue } from './reader.ts'
import type { MapReader } from './reader.ts'

/** Connection of an outside PostgreSQL, from Synapse's `args`. */
export interface DatabaseArgs {
  readonly host: string | undefined
  readonly port: number | undefined
  readonly user: string | undefined
  readonly password: string | undefined
  readonly database: string | undefined
  readonly connectionsMin: number
  readonly connectionsMax: number
  readonly sslMode: string | undefined
  readonly sslRootCertificate: string | undefined
  readonly sslCertificate: string | undefined
  readonly sslKey: string | undefined
}

/** `embedded`: this program brings and runs PostgreSQL itself. `psycopg2`: an outside one. */
export interface DatabaseConfig {
  readonly name: 'embedded' | 'psycopg2'
  readonly args: DatabaseArgs
  /** Folder of the embedded cluster; undefined for the default beside the configuration. */
  readonly dataDirectory: string | undefined
  readonly allowUnsafeLocale: boolean
}

const CONNECTIONS_MIN_DEFAULT = 5
const CONNECTIONS_MAX_DEFAULT = 10
// libpq words that mean nothing to our driver, or that it does by itself.
const IGNORED_ARGS = new Set([
  'cp_reconnect',
  'cp_noisy',
  'cp_openfun',
  'keepalives',
  'keepalives_idle',
  'keepalives_interval',
  'keepalives_count',
  'connect_timeout',
  'application_name',
  'options',
  'target_session_attrs',
  'gssencmode',
  'client_encoding',
  'tcp_user_timeout',
  'channel_binding',
])

/** Reads the option `database`. */
export function readDatabase(reader: MapReader): DatabaseConfig {
  const child = reader.child('database')
  const name = child.get('name')
  const args = child.child('args')
  const config: DatabaseConfig = Object.freeze({
    name: name?.value === 'psycopg2' ? 'psycopg2' : 'embedded',
    args: readArgs(args),
    dataDirectory: textOf(child, 'data_directory'),
    allowUnsafeLocale: child.get('allow_unsafe_locale')?.value === true,
  })
  child.get('txn_limit')
  child.reportUnknown()
  if (name?.value === 'sqlite3') {
    child.problem(
      name.place,
      'name',
      'SQLite is not supported; write `name: embedded`, and PostgreSQL comes with the program and runs by itself',
    )
  } else if (name && !['embedded', 'psycopg2'].includes(String(name.value))) {
    child.problem(name.place, 'name', `expected embedded or psycopg2, found ${describeValue(name)}`)
  } else if (config.name === 'psycopg2' && config.args.database === undefined) {
    child.problem(name?.place ?? child.place, 'args.database', 'the name of the database is missing')
  }
  return config
}

function readArgs(reader: MapReader): DatabaseArgs {
  const args: DatabaseArgs = Object.freeze({
    host: textOf(reader, 'host'),
    port: integerOf(reader, 'port'),
    user: textOf(reader, 'user'),
    password: textOf(reader, 'password'),
    database: textOf(reader, 'database') ?? textOf(reader, 'dbname'),
    connectionsMin: integerOf(reader, 'cp_min') ?? CONNECTIONS_MIN_DEFAULT,
    connectionsMax: integerOf(reader, 'cp_max') ?? CONNECTIONS_MAX_DEFAULT,
    sslMode: textOf(reader, 'sslmode'),
    sslRootCertificate: textOf(reader, 'sslrootcert'),
    sslCertificate: textOf(reader, 'sslcert'),
    sslKey: textOf(reader, 'sslkey'),
  })
  for (const name of IGNORED_ARGS) reader.get(name)
  reader.reportUnknown()
  return args
}

function textOf(reader: MapReader, name: string): string | undefined {
  const node = reader.get(name)
  if (!node || node.value === null) return undefined
  if (typeof node.value === 'string') return node.value
  // A password of digits is a number in YAML. Its value stays out of the message.
  reader.problem(node.place, name, 'expected a text; put it in quotes')
  return undefined
}

function integerOf(reader: MapReader, name: string): number | undefined {
  const node = reader.get(name)
  if (!node || node.value === null) return undefined
  const value = Number(node.value)
  if (Number.isSafeInteger(value) && value > 0) return value
  reader.problem(node.place, name, `expected a whole number of at least 1, found ${describeValue(node)}`)
  return undefined
}

const databaseOption: Option<DatabaseConfig> = {
  name: 'database',
  type: 'mapping',
  defaultText: '{ name: embedded }',
  doc:
    '`name: embedded` runs a PostgreSQL that comes with the program (its files stand in `data_directory`); `name: psycopg2` with `args` ' +
    '(host, port, user, password, database or dbname, cp_min, cp_max, sslmode, sslrootcert, sslcert, sslkey) uses an outside one, version 14 or later, ' +
    'UTF8, collation C unless `allow_unsafe_locale`.',
  read: readDatabase,
}

/** Where everything is stored. */
export const databaseOptions = section('Database', { database: databaseOption })
