import type { Pdu } from '../../protocol/events/event.ts'
import type { EventId } from '../../protocol/ids.ts'
import { redactEvent } from '../../protocol/redaction.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import { assert } from '../../util/assert.ts'

/** What of a stored event its text for other servers depends on. */
interface TextSource {
  readonly roomVersion: string
  readonly redactedBy: EventId | null
  readonly json: string
}

/** The event as other servers get it: the text as it is stored, which holds nothing of ours; redacted where it was. */
export function pduText(source: TextSource): string {
  return source.redactedBy === null ? source.json : redactedPduText(source)
}

/** The redacted copy, for servers that may know of the event but not read it. Its id and signatures are those of the whole event. */
export function redactedPduText(source: TextSource): string {
  const roomVersion = getRoomVersion(source.roomVersion)
  assert(roomVersion, 'only events of known room versions are stored')
  return JSON.stringify(redactEvent(roomVersion, JSON.parse(source.json) as Pdu))
}
