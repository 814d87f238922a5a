import { loadConfig } from '../config/config.ts'
import { parseDurationMs } from '../config/units.ts'
import { isJsonObject } from '../protocol/json.ts'
import { Database } from '../storage/database.ts'
import { getRecentSignups } from '../storage/tables/recent-signups.ts'
import type { RecentSignup } from '../storage/tables/recent-signups.ts'
import { systemClock } from '../util/clock.ts'
import { CliError, EXIT } from './cli-error.ts'
import { print, printError } from './command.ts'
import type { Command } from './command.ts'
import { parseFlags } from './flags.ts'
import { withDatabase } from './with-database.ts'

const ROOMS_SHOWN_MAX = 3
const FLAGS = {
  'config-path': { type: 'string', short: 'c', multiple: true, value: 'FILE', doc: 'Configuration file; may be given again.' },
  since: { type: 'string', short: 's', value: 'DURATION', doc: 'How far back to look; 7d by default.' },
  'exclude-emails': { type: 'boolean', short: 'e', doc: 'Leaves out who has a validated e-mail address.' },
  'only-users': { type: 'boolean', short: 'u', doc: 'Prints user ids only.' },
  'exclude-app-service': { type: 'boolean', short: 'a', doc: 'Leaves out users of application services.' },
} as const

/** Lists accounts that were made of late, for a look at what made them. Flags and output as Synapse's `review_recent_signups`. */
export const reviewRecentSignupsCommand: Command = {
  name: 'review-recent-signups',
  summary: 'Lists accounts that were made of late.',
  usage: '-c FILE [-s DURATION] [-e] [-u] [-a]',
  flags: FLAGS,
  isHidden: true,
  async run(args) {
    const { flags } = parseFlags(args, FLAGS)
    if (flags['config-path'] === undefined) throw new CliError('name the configuration with -c')
    const since = flags.since ?? '7d'
    const durationMs = parseDurationMs(since)
    if (durationMs === undefined) throw new CliError(`${JSON.stringify(since)} is no duration; write 7d, 12h or the like`)
    const query = { sinceTsMs: systemClock.nowMs() - durationMs, isWithoutAppservices: flags['exclude-app-service'] === true }
    const signups = await withDatabase(loadConfig(flags['config-path']), async (options) => {
      const database = new Database(options, { onError: (error) => printError(String(error)) })
      try {
        return await getRecentSignups(database, query)
      } finally {
        await database.close()
      }
    })
    for (const signup of signups) {
      if (flags['exclude-emails'] === true && signup.emails.length > 0) continue
      if (flags['only-users'] === true) print(signup.userId)
      else print(`${describe(signup)}\n`)
    }
    return EXIT.ok
  },
}

function describe({ userId, createdTsMs, emails, ips, rooms }: RecentSignup): string {
  const views = rooms.map(({ roomId, state }) => readRoom(roomId, state))
  const open = views.filter(({ isPublic }) => isPublic).map(({ name }) => name)
  const shown = open.slice(0, ROOMS_SHOWN_MAX).join(', ') + (open.length > ROOMS_SHOWN_MAX ? ', ...' : '')
  return [
    `# Created: ${new Date(createdTsMs).toISOString().slice(0, 19).replace('T', ' ')}`,
    `# Email: ${emails.join(', ') || 'None'}`,
    `# IPs: ${ips.join(', ')}`,
    `# Number joined public rooms: ${open.length} ${open.length === 0 ? '' : `(${shown})`}`,
    `# Number joined private rooms: ${views.length - open.length}`,
    '#',
    userId,
  ].join('\n')
}

function readRoom(roomId: string, state: readonly string[]): { readonly name: string; readonly isPublic: boolean } {
  const contents = new Map(
    state.map((json) => {
      const event = JSON.parse(json) as { type: string; content?: unknown }
      return [event.type, isJsonObject(event.content) ? event.content : {}]
    }),
  )
  const named = [contents.get('m.room.canonical_alias')?.['alias'], contents.get('m.room.name')?.['name'], roomId]
  return {
    name: named.find((name) => typeof name === 'string' && name !== '') as string,
    isPublic: contents.get('m.room.join_rules')?.['join_rule'] === 'public',
  }
}
