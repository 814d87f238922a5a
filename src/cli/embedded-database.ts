import { join, resolve } from 'node:path'
import type { Config } from '../config/config.ts'

/** Where `up` tells its processes to find the embedded database that it runs for all of them. */
export const EMBEDDED_SOCKET_VARIABLE = 'GANGLION_EMBEDDED_SOCKET'

/** The folder of the embedded database. */
export function embeddedDirectoryOf(config: Config): string {
  return resolve(config.database.dataDirectory ?? join(config.directory, 'postgresql'))
}
