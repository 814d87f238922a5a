import { compileGlob } from '../util/glob.ts'
import type { Glob } from '../util/glob.ts'
import { serverNameOf } from './ids.ts'
import type { UserId } from './ids.ts'
import { isJsonObject } from './json.ts'

/** The user ids and names of servers that a pattern may be long; longer ones match nothing. */
const PATTERN_LENGTH_MAX = 255

/** What becomes of an invite: it comes, it comes without being shown, or its sender is told that it is not wanted. */
type InviteRule = 'allow' | 'ignore' | 'block'

/** What a user thinks of invites. */
export interface InviteRules {
  ruleFor(sender: UserId): InviteRule
}

/** Rules of a user who has none. */
export const ALLOW_ALL_INVITES: InviteRules = { ruleFor: () => 'allow' }

/** Reads `m.invite_permission_config`: all, or none. Spec: client-server-api § Invite permission (MSC4380). */
export function parseInvitePermission(content: unknown): InviteRules {
  const rule = isJsonObject(content) && content['default_action'] === 'block' ? 'block' : 'allow'
  return { ruleFor: () => rule }
}

/**
 * Reads `org.matrix.msc4155.invite_permission_config`: users before servers, and of each allowed, ignored, blocked in this order. What is
 * not of the right form is left out. MSC4155.
 */
export function parseInviteFilter(content: unknown): InviteRules {
  if (!isJsonObject(content)) return ALLOW_ALL_INVITES
  const users = (['allow', 'ignore', 'block'] as const).map((rule) => ({
    rule,
    globs: readGlobs(content[`${PAST[rule]}_users`]),
  }))
  const servers = (['allow', 'ignore', 'block'] as const).map((rule) => ({
    rule,
    globs: readGlobs(content[`${PAST[rule]}_servers`]),
  }))
  return {
    ruleFor(sender) {
      const server = serverNameOf(sender)
      const found =
        users.find(({ globs }) => globs.some((glob) => glob.matches(sender))) ??
        servers.find(({ globs }) => server !== undefined && globs.some((glob) => glob.matches(server)))
      return found?.rule ?? 'allow'
    },
  }
}

const PAST = { allow: 'allowed', ignore: 'ignored', block: 'blocked' } as const

function readGlobs(patterns: unknown): Glob[] {
  if (!Array.isArray(patterns)) return []
  return patterns
    .filter((pattern): pattern is string => typeof pattern === 'string' && pattern !== '' && pattern.length <= PATTERN_LENGTH_MAX)
    .map(compileGlob)
}
