import { canServerSeeEvent, parseHistoryVisibility, parseMembership } from '../../protocol/history-visibility.ts'
import type { HistoryVisibility, Membership } from '../../protocol/history-visibility.ts'
import { serverNameOf } from '../../protocol/ids.ts'
import type { RoomId, ServerName, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { EVENT_FLAGS } from '../../storage/tables/event-graph.ts'
import { getOverlaySlots, getServerMembershipChanges, getVisibilityChanges } from '../../storage/tables/federation-reads.ts'
import type { OverlaySlot, SlotChange } from '../../storage/tables/federation-reads.ts'
import type { StoredEvent } from '../events/event-reader.ts'

const VISIBILITY = 'm.room.history_visibility'
const MEMBER = 'm.room.member'

interface ErasedSenders {
  getErased(userIds: Iterable<UserId>): Promise<ReadonlySet<UserId>>
}

/**
 * Decides what other servers see of a room's history: events at which their users could see them; those of erased senders never.
 * Costs two queries for a page, three where the history was ever restricted.
 * Spec: client-server-api § Room History Visibility, account_deactivation.yaml (`erase`); Synapse: visibility.py.
 */
export class ServerVisibility {
  readonly #database: Database
  readonly #erasedUsers: ErasedSenders

  constructor(deps: { database: Database; erasedUsers: ErasedSenders }) {
    this.#database = deps.database
    this.#erasedUsers = deps.erasedUsers
  }

  /** Those of the room's events that the server, which is in the room, may see whole. Of the others it may get redacted copies. */
  async getVisible(serverName: ServerName, roomId: RoomId, events: readonly StoredEvent[]): Promise<ReadonlySet<StoredEvent>> {
    const [erased, visibilities, overlays] = await Promise.all([
      this.#erasedUsers.getErased(new Set(events.map(({ event }) => event.sender))),
      getVisibilityChanges(this.#database, roomId),
      getOverlaySlots(this.#database, { eventNids: events.map(({ eventNid }) => eventNid), serverName }),
    ])
    const isRestricted = [...visibilities, ...overlays.filter((slot) => slot.type === VISIBILITY)].some(({ json }) =>
      isRestrictedVisibility(parseHistoryVisibility(contentOf(json))),
    )
    const memberships = isRestricted ? await getServerMembershipChanges(this.#database, { roomId, serverName }) : []
    const history = new ServerHistory({ serverName, visibilities, memberships, overlays })
    return new Set(events.filter((stored) => !erased.has(stored.event.sender) && history.canSee(stored)))
  }
}

interface VisibilityInterval {
  readonly fromPos: number
  readonly toPos: number
  readonly visibility: HistoryVisibility
}

interface MembershipInterval {
  readonly fromPos: number
  readonly toPos: number
  readonly userId: string
  readonly membership: Membership
}

/** A room's visibility and one server's memberships, over time. */
class ServerHistory {
  readonly #serverName: ServerName
  readonly #visibilities: readonly VisibilityInterval[]
  readonly #memberships: readonly MembershipInterval[]
  readonly #overlays: ReadonlyMap<number, readonly OverlaySlot[]>

  constructor(parts: {
    serverName: ServerName
    visibilities: readonly SlotChange[]
    memberships: readonly SlotChange[]
    overlays: readonly OverlaySlot[]
  }) {
    this.#serverName = parts.serverName
    this.#visibilities = parts.visibilities.map(({ fromPos, toPos, json }) => ({
      fromPos,
      toPos,
      visibility: parseHistoryVisibility(contentOf(json)),
    }))
    this.#memberships = parts.memberships.flatMap(({ fromPos, toPos, stateKey, json }) => {
      const membership = parseMembership(contentOf(json))
      // Others open nothing.
      return membership === 'join' || membership === 'invite' ? [{ fromPos, toPos, userId: stateKey, membership }] : []
    })
    this.#overlays = Map.groupBy(parts.overlays, (slot) => slot.eventNid)
  }

  canSee(stored: StoredEvent): boolean {
    const { event, flags, eventNid, basePos } = stored
    // The state at an outlier is not known: they are state and authorisation events, which members of the room get anyway.
    if ((flags & EVENT_FLAGS.outlier) !== 0) return event.stateKey !== undefined
    const overlay = this.#overlays.get(eventNid) ?? []
    const visibility = this.#visibilityBefore(basePos, overlay)
    const after = event.type === VISIBILITY && event.stateKey === '' ? parseHistoryVisibility(event.content) : visibility
    if (!isRestrictedVisibility(visibility) || !isRestrictedVisibility(after)) return true
    const memberships = this.#membershipsBefore(basePos, overlay)
    // A change that makes it visible shows itself: an own join, an opening of the history.
    if (event.type === MEMBER && event.stateKey !== undefined && serverNameOf(event.stateKey) === this.#serverName)
      memberships.push(parseMembership(event.content))
    return canServerSeeEvent({ visibility, memberships }) || canServerSeeEvent({ visibility: after, memberships })
  }

  #visibilityBefore(position: number, overlay: readonly OverlaySlot[]): HistoryVisibility {
    const different = overlay.find((slot) => slot.type === VISIBILITY)
    if (different) return parseHistoryVisibility(contentOf(different.json))
    return this.#visibilities.findLast((interval) => holdsAt(interval, position))?.visibility ?? 'shared'
  }

  #membershipsBefore(position: number, overlay: readonly OverlaySlot[]): Membership[] {
    const different = new Map(overlay.filter((slot) => slot.type === MEMBER).map((slot) => [slot.stateKey, slot.json]))
    const found: Membership[] = []
    for (const interval of this.#memberships)
      if (holdsAt(interval, position) && !different.has(interval.userId)) found.push(interval.membership)
    for (const json of different.values()) found.push(parseMembership(contentOf(json)))
    return found
  }
}

function holdsAt(interval: { readonly fromPos: number; readonly toPos: number }, position: number): boolean {
  return interval.fromPos <= position && position < interval.toPos
}

function isRestrictedVisibility(visibility: HistoryVisibility): boolean {
  return visibility === 'invited' || visibility === 'joined'
}

/** The content of an event's JSON text. Redaction keeps all that is read here. */
function contentOf(json: string | null): JsonObject | undefined {
  const parsed: unknown = json === null ? undefined : JSON.parse(json)
  const content = isJsonObject(parsed) ? parsed['content'] : undefined
  return isJsonObject(content) ? content : undefined
}
