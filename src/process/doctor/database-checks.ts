import type { DatabaseInspection } from '../../storage/inspection.ts'
import type { ConfigurationUnderTest } from './config-checks.ts'
import { doubt, fault } from './finding.ts'
import type { Finding } from './finding.ts'

const VERSION_MIN = 14
const COMMIT_SLOW_MS = 20
const CLOCK_DOUBT_MS = 1000
const CLOCK_FAULT_MS = 10_000
/** Beside its pool: one that listens, and one that holds the lock of being alive. */
const CONNECTIONS_BESIDE_POOL = 2

/** Judges how the database is set up. */
export function checkDatabase(facts: DatabaseInspection, { processes, shared, places }: ConfigurationUnderTest): Finding[] {
  const place = places.of(shared, 'database')
  const config = processes[0]?.config.database
  const name = config?.args.database ?? 'ganglion'
  const anew = `make it anew: CREATE DATABASE ${name} ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`
  const findings: Finding[] = []
  const major = Math.floor(facts.versionNumber / 10_000)
  if (major < VERSION_MIN) findings.push(fault(`${place}: PostgreSQL ${major} is too old; install ${VERSION_MIN} or later`))
  if (facts.encoding !== 'UTF8') findings.push(fault(`${place}: the database has the encoding ${facts.encoding}; ${anew}`))
  if (facts.collation !== 'C' || facts.ctype !== 'C') {
    const text = `${place}: the database has the collation ${facts.collation} (${facts.ctype}), whose order changes with updates of the system and breaks indexes; ${anew}`
    findings.push(config?.allowUnsafeLocale === true ? doubt(text) : fault(text))
  }
  if (facts.isStandby) findings.push(fault(`${place}: this is a standby, which takes no writes; name the primary`))
  return [
    ...findings,
    ...checkDurability(facts, place),
    ...checkConcurrency(facts, { processes, place }),
    ...checkClock(facts, place),
  ]
}

function checkDurability(facts: DatabaseInspection, place: string): Finding[] {
  const findings: Finding[] = []
  if (!facts.fsync)
    findings.push(
      fault(`${place}: \`fsync\` is off: a power failure destroys the database; set \`fsync = on\` in postgresql.conf`),
    )
  if (!facts.fullPageWrites)
    findings.push(
      fault(`${place}: \`full_page_writes\` is off: a power failure may destroy pages; set it to on in postgresql.conf`),
    )
  if (facts.synchronousCommit === 'off')
    findings.push(
      fault(
        `${place}: \`synchronous_commit\` is off: a crash loses messages that were acknowledged; set it to on in postgresql.conf`,
      ),
    )
  if (facts.commitMs > COMMIT_SLOW_MS)
    findings.push(
      doubt(
        `${place}: a commit takes ${facts.commitMs.toFixed(0)} ms, and every message waits for one; use a faster disk, or one with a protected cache`,
      ),
    )
  return findings
}

function checkConcurrency(
  facts: DatabaseInspection,
  { processes, place }: Pick<ConfigurationUnderTest, 'processes'> & { readonly place: string },
): Finding[] {
  const findings: Finding[] = []
  if (!facts.doLocksExclude)
    findings.push(
      fault(
        `${place}: a lock of one session does not keep others out, so positions would get out of order; use PostgreSQL itself`,
      ),
    )
  if (!facts.doSessionsLast)
    findings.push(
      doubt(
        `${place}: connections are shared between sessions by a pooler; give the processes a direct connection for LISTEN and locks`,
      ),
    )
  for (const sequence of facts.cachingSequences)
    findings.push(fault(`${place}: the sequence ${sequence} draws several numbers at a time; ALTER SEQUENCE ${sequence} CACHE 1`))
  const needed = processes.reduce((sum, { config }) => sum + config.database.args.connectionsMax + CONNECTIONS_BESIDE_POOL, 0)
  const available = facts.connectionsMax - facts.connectionsReserved
  if (needed > available)
    findings.push(
      fault(
        `${place}: ${processes.length} processes may open ${needed} connections, and PostgreSQL allows ${available}; raise \`max_connections\`, or lower \`cp_max\``,
      ),
    )
  return findings
}

function checkClock({ clockOffsetMs }: DatabaseInspection, place: string): Finding[] {
  const offsetMs = Math.abs(clockOffsetMs)
  if (offsetMs <= CLOCK_DOUBT_MS) return []
  const text = `${place}: this machine's clock and the database's differ by ${(offsetMs / 1000).toFixed(1)} s; let NTP set both`
  return [offsetMs > CLOCK_FAULT_MS ? fault(text) : doubt(text)]
}
