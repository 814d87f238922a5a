import pg from 'pg'
import { OperatorError } from '../util/operator-error.ts'
import type { DatabaseOptions } from './database.ts'

const VERSION_MIN = 14
const CONNECT_TIMEOUT_MS = 10_000

/**
 * Checks an outside database before anything is written to it: version 14 or later, encoding UTF8, collation C (others sort text
 * differently after an update of the system, which breaks indexes). Throws OperatorError saying what to do.
 */
export async function checkDatabase(
  options: DatabaseOptions,
  { allowUnsafeLocale }: { allowUnsafeLocale: boolean },
): Promise<void> {
  const { max: _max, ...connection } = options
  const client = new pg.Client({ ...connection, connectionTimeoutMillis: CONNECT_TIMEOUT_MS })
  try {
    await client.connect()
    const { rows } = await client.query<DatabaseFacts>(`
      SELECT current_setting('server_version_num')::integer / 10000 AS version,
             pg_encoding_to_char(encoding) AS encoding, datctype AS ctype,
             -- The column is new in version 15. With ICU, what stands in datcollate does not decide.
             CASE to_jsonb(pg_database) ->> 'datlocprovider' WHEN 'i' THEN 'ICU' ELSE datcollate END AS collation
        FROM pg_database WHERE datname = current_database()`)
    const fault = rows[0] && findFault(rows[0], { allowUnsafeLocale, database: options.database })
    if (fault !== undefined) throw new OperatorError(fault)
  } catch (error) {
    if (error instanceof OperatorError) throw error
    throw new OperatorError(`The database ${options.database} at ${options.host} cannot be used: ${describe(error)}`, {
      cause: error,
    })
  } finally {
    await client.end().catch(() => undefined)
  }
}

interface DatabaseFacts {
  readonly version: number
  readonly encoding: string
  readonly collation: string
  readonly ctype: string
}

function findFault(facts: DatabaseFacts, options: { allowUnsafeLocale: boolean; database: string }): string | undefined {
  const remedy = `CREATE DATABASE ${options.database} ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;`
  if (facts.version < VERSION_MIN)
    return `The database is PostgreSQL ${facts.version}; version ${VERSION_MIN} or later is needed.`
  if (facts.encoding !== 'UTF8')
    return `The database has the encoding ${facts.encoding} and must have UTF8. Make it anew: ${remedy}`
  if (options.allowUnsafeLocale || (facts.collation === 'C' && facts.ctype === 'C')) return undefined
  return (
    `The database has the collation ${facts.collation} (${facts.ctype}) and must have C. Make it anew: ${remedy} ` +
    'Or, at the risk of broken indexes after an update of the system, set `allow_unsafe_locale: true` under `database`.'
  )
}

/** Where several addresses were tried, the error is a bundle without a message of its own. */
function describe(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(describe).join('; ')
  return error instanceof Error ? error.message : String(error)
}
