import type { EventId, RoomId, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { getEventsByNid } from '../../storage/tables/events.ts'
import { getChildSummaries, getLatestEdits, getParentsWithChildren } from '../../storage/tables/relations.ts'
import type { ChildSummary, ParentEvent } from '../../storage/tables/relations.ts'
import type { ClientEvents, RelationBundler, Viewer } from '../events/client-events.ts'
import type { EventReader, StoredEvent } from '../events/event-reader.ts'
import type { RoomAccess } from '../rooms/reading/room-access.ts'

const REFERENCES_MAX = 1000

export interface RelationBundlesDeps {
  readonly database: Database
  readonly events: EventReader
  readonly clientEvents: ClientEvents
  readonly access: RoomAccess
  readonly accountData: { getIgnoredUsers(userId: UserId): Promise<ReadonlySet<string>> }
}

/**
 * Bundles edits, threads and references with the events of a page of any size: in one query where nothing is related, in five
 * at most.
 * Spec: client-server-api § Aggregations of child events.
 */
export class RelationBundles implements RelationBundler {
  readonly #deps: RelationBundlesDeps

  constructor(deps: RelationBundlesDeps) {
    this.#deps = deps
  }

  async getBundles(events: readonly StoredEvent[], viewer: Viewer): Promise<ReadonlyMap<EventId, string>> {
    const candidates = events.filter(mayHaveBundle)
    if (candidates.length === 0) return new Map()
    const nids = await getParentsWithChildren(
      this.#deps.database,
      candidates.map((stored) => stored.eventNid),
    )
    if (nids.size === 0) return new Map()
    const bundled = candidates.filter((stored) => nids.has(stored.eventNid))
    const [parents, ignoredUsers] = await Promise.all([
      this.#getParents(bundled, viewer.userId),
      this.#deps.accountData.getIgnoredUsers(viewer.userId),
    ])
    if (parents.length === 0) return new Map()
    const { database } = this.#deps
    const [summaries, edits] = await Promise.all([
      getChildSummaries(database, { parents, userId: viewer.userId, ignoredUsers: [...ignoredUsers] }),
      getLatestEdits(database, parents),
    ])
    if (summaries.length === 0 && edits.length === 0) return new Map()
    const editEvents = edits.map((record) => this.#deps.events.remember(record))
    const [editTexts, latestTexts] = await Promise.all([
      this.#deps.clientEvents.serialize(editEvents, viewer, { withBundles: false }),
      this.#writeLatest(bundled, summaries, viewer),
    ])
    const editByParent = new Map(edits.map((record, index) => [record.relatesTo, editTexts[index] ?? '']))
    const summaryByParent = new Map(summaries.map((summary) => [summary.parentId, summary]))
    const bundles = new Map<EventId, string>()
    for (const stored of bundled) {
      const { eventId } = stored.event
      const text = writeBundle(stored, viewer.userId, {
        edit: editByParent.get(eventId),
        summary: summaryByParent.get(eventId),
        latestTexts,
      })
      if (text !== undefined) bundles.set(eventId, text)
    }
    return bundles
  }

  /** Who has left a room learns nothing of what was related later. */
  async #getParents(events: readonly StoredEvent[], userId: UserId): Promise<ParentEvent[]> {
    const roomIds = [...new Set(events.map((stored) => stored.event.roomId))]
    const readings = await Promise.all(roomIds.map((roomId) => this.#deps.access.findReading(userId, roomId)))
    const upTo = new Map<RoomId, number>(roomIds.map((roomId, index) => [roomId, readings[index]?.eventsUpTo ?? 0]))
    return events.map((stored) => ({ eventNid: stored.eventNid, upTo: upTo.get(stored.event.roomId) ?? 0 }))
  }

  /** Writes the newest events of the threads, with their own bundles. A thread's event is no thread's root, so this ends. */
  async #writeLatest(
    parents: readonly StoredEvent[],
    summaries: readonly ChildSummary[],
    viewer: Viewer,
  ): Promise<ReadonlyMap<number, string>> {
    const roots = new Set<string>(
      parents.filter((stored) => relationTypeOf(stored) === undefined).map((stored) => stored.event.eventId),
    )
    const nids = summaries.flatMap((summary) =>
      summary.latestThreadNid === null || !roots.has(summary.parentId) ? [] : [summary.latestThreadNid],
    )
    if (nids.length === 0) return new Map()
    const records = await getEventsByNid(this.#deps.database, nids)
    const events = records.map((record) => this.#deps.events.remember(record))
    const texts = await this.#deps.clientEvents.serialize(events, viewer)
    return new Map(events.map((stored, index) => [stored.eventNid, texts[index] ?? '']))
  }
}

function writeBundle(
  stored: StoredEvent,
  userId: UserId,
  parts: { edit: string | undefined; summary: ChildSummary | undefined; latestTexts: ReadonlyMap<number, string> },
): string | undefined {
  const { edit, summary, latestTexts } = parts
  const texts: string[] = []
  if (edit !== undefined) texts.push(`"m.replace":${edit}`)
  if (summary?.references) {
    const chunk = summary.references.slice(0, REFERENCES_MAX).map((eventId) => ({ event_id: eventId }))
    texts.push(`"m.reference":${JSON.stringify({ chunk })}`)
  }
  const latest = summary?.latestThreadNid == null ? undefined : latestTexts.get(summary.latestThreadNid)
  if (summary && latest !== undefined) {
    const hasParticipated = summary.hasParticipated === true || stored.event.sender === userId
    texts.push(
      `"m.thread":{"latest_event":${latest},"count":${summary.threadCount},"current_user_participated":${hasParticipated}}`,
    )
  }
  return texts.length === 0 ? undefined : `{${texts.join(',')}}`
}

/** State, edits and reactions have no children that count. */
function mayHaveBundle(stored: StoredEvent): boolean {
  if (stored.event.stateKey !== undefined || stored.position === undefined) return false
  const relType = relationTypeOf(stored)
  return relType !== 'm.replace' && relType !== 'm.annotation'
}

function relationTypeOf(stored: StoredEvent): string | undefined {
  const relation = stored.event.content['m.relates_to']
  const relType = isJsonObject(relation) ? relation['rel_type'] : undefined
  return typeof relType === 'string' ? relType : undefined
}
