import { spawnSync } from 'node:child_process'
import { chownSync, lchownSync, readdirSync, statSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'

// "nobody" on Linux; PostgreSQL refuses to run as root.
const NOBODY = 65_534
/** Nothing of our own environment reaches PostgreSQL. */
export const POSTGRES_ENVIRONMENT = { LC_ALL: 'C', PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }

/** Under which account PostgreSQL runs, and how a command is started under it. */
export interface PostgresAccount {
  /** For the log. */
  readonly description: string
  /** Owner that the files must have; undefined when they are ours anyway. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined
  wrap(command: string, args: readonly string[]): { command: string; args: readonly string[]; uid?: number; gid?: number }
}

/** The current account: the usual case. */
const OWN_ACCOUNT: PostgresAccount = {
  description: 'the current user',
  owner: undefined,
  wrap: (command, args) => ({ command, args }),
}

/**
 * Lists the unprivileged accounts that PostgreSQL may run as on the files in `directory`, the best first. As root there are three ways:
 * another user id; a user namespace, where root has another id (for folders under a closed one such as /root); another user id that
 * keeps one capability, to pass closed folders where namespaces are forbidden.
 */
export function listAccounts(directory: string): readonly PostgresAccount[] {
  if (process.getuid?.() === 0) return [otherUser(directory), inNamespace({ uid: 0, gid: 0 }), OTHER_USER_WITH_CAPABILITY]
  // Containers often run under a number that has no name; PostgreSQL refuses to make a cluster then, but not in a namespace.
  return hasName() ? [OWN_ACCOUNT] : [inNamespace(undefined), OWN_ACCOUNT]
}

/** Gives a folder and all in it to the account, where it is not its own yet. */
export function giveTo(directory: string, account: PostgresAccount): void {
  const { owner } = account
  if (owner === undefined || statSync(directory).uid === owner.uid) return
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true }))
    lchownSync(join(entry.parentPath, entry.name), owner.uid, owner.gid)
  // Last, so that a start that was interrupted begins anew.
  chownSync(directory, owner.uid, owner.gid)
}

function otherUser(directory: string): PostgresAccount {
  // Files that a plain user made while not being root stay that user's.
  const current = statSync(directory)
  const owner = current.uid === 0 ? { uid: NOBODY, gid: NOBODY } : { uid: current.uid, gid: current.gid }
  return { description: `user id ${owner.uid}`, owner, wrap: (command, args) => ({ command, args, ...owner }) }
}

function inNamespace(owner: PostgresAccount['owner']): PostgresAccount {
  return {
    description: 'a user namespace',
    owner,
    wrap: (command, args) => ({
      command: 'unshare',
      args: ['--user', `--map-user=${NOBODY}`, `--map-group=${NOBODY}`, '--', command, ...args],
    }),
  }
}

function hasName(): boolean {
  try {
    return userInfo().username !== ''
  } catch (error) {
    if (error instanceof Error && 'code' in error) return false
    throw error
  }
}

const OTHER_USER_WITH_CAPABILITY: PostgresAccount = {
  description: `user id ${NOBODY}, passing closed folders`,
  owner: { uid: NOBODY, gid: NOBODY },
  wrap: (command, args) => ({
    command: 'setpriv',
    args: [
      `--reuid=${NOBODY}`,
      `--regid=${NOBODY}`,
      '--clear-groups',
      '--inh-caps=+dac_override',
      '--ambient-caps=+dac_override',
      '--',
      command,
      ...args,
    ],
  }),
}

/** Tells whether the account can write the folder, without being root. */
export function canWrite(account: PostgresAccount, directory: string): boolean {
  return succeeds(account, '/bin/sh', ['-c', '[ "$(id -u)" != 0 ] && [ -w "$1" ] && [ -x "$1" ]', 'sh', directory])
}

/** Tells whether the account can run the program. */
export function canRun(account: PostgresAccount, binary: string): boolean {
  return succeeds(account, binary, ['--version'])
}

function succeeds(account: PostgresAccount, command: string, args: readonly string[]): boolean {
  const { command: wrapped, args: wrappedArgs, ...identity } = account.wrap(command, args)
  return spawnSync(wrapped, wrappedArgs, { ...identity, stdio: 'ignore', cwd: '/', env: POSTGRES_ENVIRONMENT }).status === 0
}
