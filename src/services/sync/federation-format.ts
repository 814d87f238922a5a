import type { EventId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { EventReader } from '../events/event-reader.ts'

/**
 * Turns events in client format into those that servers send each other, with what clients know them by: `event_id` and `unsigned`.
 * Hardly any client asks for it, so it costs a parse and nothing elsewhere. Spec: client-server-api § Filtering, `event_format`.
 */
export async function toFederationFormat(texts: readonly string[], events: EventReader): Promise<string[]> {
  const parsed = texts.map((text) => JSON.parse(text) as JsonObject)
  const stored = await events.getEvents(parsed.map((event) => event['event_id'] as EventId))
  return parsed.map((event) => {
    const pdu = stored.get(event['event_id'] as EventId)?.event.pdu
    const unsigned = isJsonObject(event['unsigned']) ? { unsigned: event['unsigned'] } : {}
    return JSON.stringify({ ...(pdu ?? event), event_id: event['event_id'], ...unsigned })
  })
}
