import type { EventId } from '../../protocol/ids.ts'
import type { FieldProjection } from '../../protocol/filters/event-fields.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Clock } from '../../util/clock.ts'
import type { ClientEvents, Viewer } from '../events/client-events.ts'
import type { EventReader } from '../events/event-reader.ts'
import { toFederationFormat } from './federation-format.ts'
import type { Timeline, TimelineItem } from './timeline-loader.ts'

/** Writes timeline items as JSON texts: those from memory by splicing, the others together in a few queries. */
export class TimelineWriter {
  readonly #clientEvents: ClientEvents
  readonly #events: EventReader
  readonly #clock: Clock

  constructor(deps: { clientEvents: ClientEvents; events: EventReader; clock: Clock }) {
    this.#clientEvents = deps.clientEvents
    this.#events = deps.events
    this.#clock = deps.clock
  }

  /** Returns the JSON text of every item of the timelines. */
  async write(
    timelines: Iterable<Timeline>,
    viewer: Viewer,
    format: { readonly project?: FieldProjection | undefined; readonly isFederationFormat?: boolean } = {},
  ): Promise<Map<TimelineItem, string>> {
    const written = new Map<TimelineItem, string>()
    const slow: TimelineItem[] = []
    const nowMs = this.#clock.nowMs()
    for (const timeline of timelines) {
      for (const item of timeline.items) {
        if (item.recent && !item.recent.isChanged) written.set(item, writeRecent(item, viewer, nowMs))
        else slow.push(item)
      }
    }
    if (slow.length > 0) await this.#writeStored(slow, viewer, written)
    const { project } = format
    if (format.isFederationFormat) {
      const items = [...written.keys()]
      const texts = await toFederationFormat([...written.values()], this.#events)
      for (const [index, item] of items.entries()) written.set(item, texts[index] ?? '')
    }
    if (project) for (const [item, json] of written) written.set(item, JSON.stringify(project(JSON.parse(json) as JsonObject)))
    return written
  }

  async #writeStored(items: readonly TimelineItem[], viewer: Viewer, written: Map<TimelineItem, string>): Promise<void> {
    const missing = items.filter((item) => !item.stored).map((item) => item.eventId as EventId)
    const loaded = missing.length === 0 ? undefined : await this.#events.getEvents(missing)
    const pairs = items.flatMap((item) => {
      const stored = item.stored ?? loaded?.get(item.eventId as EventId)
      return stored ? [{ item, stored }] : []
    })
    const texts = await this.#clientEvents.serialize(
      pairs.map((pair) => pair.stored),
      viewer,
      { omitRoomId: true, memberships: new Map(pairs.map(({ item, stored }) => [stored.event.eventId, item.membership])) },
    )
    for (const [index, { item }] of pairs.entries()) written.set(item, texts[index] ?? '')
  }
}

function writeRecent(item: TimelineItem, viewer: Viewer, nowMs: number): string {
  const row = item.recent?.row
  if (!row) return ''
  let json = `${row.clientJson},"unsigned":{"membership":"${item.membership}","age":${Math.max(0, nowMs - row.originServerTs)}`
  if (row.transaction && row.sender === viewer.userId && row.transaction.deviceId === viewer.transactionDevice) {
    json += `,"transaction_id":${JSON.stringify(row.transaction.transactionId)}`
  }
  if (row.replacesState) {
    const { eventId, contentJson, sender } = row.replacesState
    json += `,"prev_content":${contentJson},"replaces_state":${JSON.stringify(eventId)},"prev_sender":${JSON.stringify(sender)}`
  }
  return `${json}}}`
}
