import { toClientEventJson } from '../../protocol/events/client-event.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { EventId, UserId } from '../../protocol/ids.ts'
import { redactMatrixEvent } from '../../protocol/redaction.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import type { Database } from '../../storage/database.ts'
import { getEventsByNid } from '../../storage/tables/events.ts'
import { assert } from '../../util/assert.ts'
import type { Clock } from '../../util/clock.ts'
import type { Requester } from '../accounts/requester.ts'
import type { EventReader, StoredEvent } from './event-reader.ts'

/** Who reads: `unsigned` differs per reader. */
export interface Viewer {
  readonly userId: UserId
  /** As transactions name the device: see `transactionDeviceOf`. */
  readonly transactionDevice: string
}

/** How transactions name the device behind a request: its id, or the token for tokens without a device. */
export function transactionDeviceOf(requester: Pick<Requester, 'deviceId' | 'accessTokenId'>): string {
  return requester.deviceId ?? `token:${requester.accessTokenId}`
}

export function viewerOf(requester: Pick<Requester, 'userId' | 'deviceId' | 'accessTokenId'>): Viewer {
  return { userId: requester.userId, transactionDevice: transactionDeviceOf(requester) }
}

/** Collects what is related to events, as `unsigned.m.relations`. */
export interface RelationBundler {
  /** Returns JSON texts of `m.relations` for those events that have any. Spec: client-server-api § Aggregations of child events. */
  getBundles(events: readonly StoredEvent[], viewer: Viewer): Promise<ReadonlyMap<EventId, string>>
}

const NO_BUNDLES: ReadonlyMap<EventId, string> = new Map()

/** Writes stored events for clients. A page of events costs at most two queries besides the bundles. */
export class ClientEvents {
  readonly #database: Database
  readonly #events: EventReader
  readonly #clock: Clock
  #bundler: RelationBundler | undefined
  #erasedUsers: { getErased(userIds: Iterable<UserId>): Promise<ReadonlySet<UserId>> } | undefined

  constructor(deps: { database: Database; events: EventReader; clock: Clock }) {
    this.#database = deps.database
    this.#events = deps.events
    this.#clock = deps.clock
  }

  /** The bundler writes events itself, so it can only be made after this. */
  setBundler(bundler: RelationBundler): void {
    this.#bundler = bundler
  }

  /** Who is erased is known later than this is made. */
  setErasedUsers(erasedUsers: { getErased(userIds: Iterable<UserId>): Promise<ReadonlySet<UserId>> }): void {
    this.#erasedUsers = erasedUsers
  }

  /** Writes the events in their order, each as the JSON text of a client event. */
  async serialize(
    events: readonly StoredEvent[],
    viewer: Viewer,
    options: {
      readonly omitRoomId?: boolean
      readonly withBundles?: boolean
      /** The reader's membership at each event, for `unsigned.membership`. */
      readonly memberships?: ReadonlyMap<EventId, string>
    } = {},
  ): Promise<string[]> {
    const [hidden, replaced, redactions, bundles] = await Promise.all([
      this.#getHidden(events, options.memberships),
      this.#getReplaced(events),
      this.#getRedactions(events),
      options.withBundles === false || !this.#bundler ? new Map<EventId, string>() : this.#bundler.getBundles(events, viewer),
    ])
    const nowMs = this.#clock.nowMs()
    return events.map((stored) =>
      toClientEventJson(hidden.has(stored) ? redacted(stored.event) : stored.event, {
        omitRoomId: options.omitRoomId,
        unsignedJson: this.#unsignedJson(stored, viewer, {
          nowMs,
          replaced,
          redactions,
          bundles: hidden.has(stored) ? NO_BUNDLES : bundles,
          memberships: options.memberships,
        }),
      }),
    )
  }

  /** Messages of erased users, for readers who were not in the room when they were sent. Spec: account_deactivation.yaml. */
  async #getHidden(
    events: readonly StoredEvent[],
    memberships: ReadonlyMap<EventId, string> | undefined,
  ): Promise<ReadonlySet<StoredEvent>> {
    const unseen = events.filter(({ event }) => {
      const membership = memberships?.get(event.eventId)
      return membership !== undefined && membership !== 'join' && event.stateKey === undefined
    })
    if (unseen.length === 0 || !this.#erasedUsers) return new Set()
    const erased = await this.#erasedUsers.getErased(unseen.map(({ event }) => event.sender))
    return new Set(unseen.filter(({ event }) => erased.has(event.sender)))
  }

  async #getReplaced(events: readonly StoredEvent[]): Promise<ReadonlyMap<number, StoredEvent>> {
    const nids = events.flatMap((stored) => (stored.replacesNid === undefined ? [] : [stored.replacesNid]))
    if (nids.length === 0) return new Map()
    const records = await getEventsByNid(this.#database, nids)
    return new Map(records.map((record) => [record.eventNid, this.#events.remember(record)]))
  }

  async #getRedactions(events: readonly StoredEvent[]): Promise<ReadonlyMap<EventId, StoredEvent>> {
    const ids = events.flatMap((stored) => (stored.redactedBy === undefined ? [] : [stored.redactedBy]))
    return ids.length === 0 ? new Map() : this.#events.getEvents(ids)
  }

  #unsignedJson(
    stored: StoredEvent,
    viewer: Viewer,
    context: {
      nowMs: number
      replaced: ReadonlyMap<number, StoredEvent>
      redactions: ReadonlyMap<EventId, StoredEvent>
      bundles: ReadonlyMap<EventId, string>
      memberships: ReadonlyMap<EventId, string> | undefined
    },
  ): string {
    const { event, transaction, redactedBy, replacesNid } = stored
    let json = `{"age":${Math.max(0, context.nowMs - event.originServerTs)}`
    if (transaction && event.sender === viewer.userId && transaction.deviceId === viewer.transactionDevice) {
      json += `,"transaction_id":${JSON.stringify(transaction.transactionId)}`
    }
    const membership = context.memberships?.get(event.eventId)
    if (membership !== undefined) json += `,"membership":${JSON.stringify(membership)}`
    const before = replacesNid === undefined ? undefined : context.replaced.get(replacesNid)
    if (before) {
      json += `,"prev_content":${JSON.stringify(before.event.content)},"replaces_state":${JSON.stringify(before.event.eventId)}`
      json += `,"prev_sender":${JSON.stringify(before.event.sender)}`
    }
    const redaction = redactedBy === undefined ? undefined : context.redactions.get(redactedBy)
    if (redaction) {
      const unsignedJson = `{"age":${Math.max(0, context.nowMs - redaction.event.originServerTs)}}`
      json += `,"redacted_by":${JSON.stringify(redaction.event.eventId)},"redacted_because":${toClientEventJson(redaction.event, { unsignedJson })}`
    }
    const bundle = context.bundles.get(event.eventId)
    if (bundle !== undefined) json += `,"m.relations":${bundle}`
    return `${json}}`
  }
}

function redacted(event: MatrixEvent): MatrixEvent {
  const roomVersion = getRoomVersion(event.roomVersion)
  assert(roomVersion, 'only events of known room versions are stored')
  return redactMatrixEvent(roomVersion, event)
}
