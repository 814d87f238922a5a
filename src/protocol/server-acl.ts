import type { Glob } from '../util/glob.ts'
import { compileGlob } from '../util/glob.ts'
import type { ServerName } from './ids.ts'
import type { JsonObject, JsonValue } from './json.ts'

/** A room's server ACL made ready for many questions. */
export interface ServerAcl {
  /** Tells whether the server may take part in the room; its port does not matter. */
  isServerAllowed(serverName: ServerName): boolean
}

const IPV4 = /^[0-9]{1,3}(?:\.[0-9]{1,3}){3}$/

/** Compiles the content of an `m.room.server_acl` event. Spec: client-server-api § Server Access Control Lists. */
export function compileServerAcl(content: JsonObject): ServerAcl {
  const deny = compileList(content['deny'])
  const allow = compileList(content['allow'])
  const allowsIpLiterals = content['allow_ip_literals'] !== false
  return {
    isServerAllowed(serverName) {
      const host = hostOf(serverName)
      // The specification's steps 2 to 5; step 1 (no such event) is the caller's.
      if (!allowsIpLiterals && isIpLiteral(host)) return false
      if (deny.matches(host)) return false
      return allow.matches(host)
    },
  }
}

/** Names without wildcards are looked up, so that a ban list of thousands of names costs one step. */
function compileList(value: JsonValue | undefined): Glob {
  const patterns = Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : []
  const hosts = new Set<string>()
  const globs: Glob[] = []
  for (const pattern of patterns) {
    if (/[*?]/.test(pattern)) globs.push(compileGlob(pattern))
    else hosts.add(pattern.toLowerCase())
  }
  return { matches: (host) => hosts.has(host) || globs.some((glob) => glob.matches(host)) }
}

/** The name in lower case without port; an IPv6 address keeps its brackets. */
function hostOf(serverName: ServerName): string {
  return serverName.replace(/:[0-9]+$/, '').toLowerCase()
}

function isIpLiteral(host: string): boolean {
  return host.startsWith('[') || IPV4.test(host)
}
