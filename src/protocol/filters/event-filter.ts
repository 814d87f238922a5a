import type { Glob } from '../../util/glob.ts'
import { compileStarGlob } from '../../util/glob.ts'
import type { JsonObject, JsonValue } from '../json.ts'
import { isJsonObject } from '../json.ts'

/** What a filter looks at; account data has no sender, presence and global account data have no room. */
export interface FilterableEvent {
  readonly type: string
  readonly sender?: string | undefined
  readonly roomId?: string | undefined
  readonly content?: JsonValue | undefined
  /** Relations that point to this event. Needed only where `needsRelations`. */
  readonly relatedBy?: readonly { readonly sender: string; readonly relType: string }[] | undefined
}

/** How many events a filter gives when the client names no limit. */
export const EVENT_LIMIT_DEFAULT = 10

/** One part of a filter (event_filter.yaml or room_event_filter.yaml) made ready for many events. */
export class EventFilter {
  readonly limit: number
  readonly lazyLoadMembers: boolean
  readonly includeRedundantMembers: boolean
  readonly unreadThreadNotifications: boolean
  /** True if `matches` wants to know the event's `relatedBy`. */
  readonly needsRelations: boolean
  readonly relatedBySenders: readonly string[] | undefined
  readonly relatedByRelTypes: readonly string[] | undefined
  /** True if the filter keeps every event, so that nobody needs to ask. */
  readonly matchesEverything: boolean
  /** True if the filter keeps no event at all. */
  readonly matchesNothing: boolean
  readonly #types: TextFilter
  readonly #senders: TextFilter
  readonly #rooms: TextFilter
  readonly #relTypes: TextFilter
  readonly #containsUrl: boolean | undefined

  /** Takes JSON that `parseFilter` has checked; larger limits are cut to `limitMax`. */
  constructor(json: JsonObject, options: { readonly limitMax: number }) {
    const limit = json['limit']
    this.limit = Math.min(typeof limit === 'number' ? limit : EVENT_LIMIT_DEFAULT, options.limitMax)
    this.lazyLoadMembers = json['lazy_load_members'] === true
    this.includeRedundantMembers = json['include_redundant_members'] === true
    this.unreadThreadNotifications = json['unread_thread_notifications'] === true
    this.relatedBySenders = readTexts(json['related_by_senders'])
    this.relatedByRelTypes = readTexts(json['related_by_rel_types'])
    this.needsRelations = this.relatedBySenders !== undefined || this.relatedByRelTypes !== undefined
    this.#types = new TextFilter(json['types'], json['not_types'], { hasStars: true })
    this.#senders = new TextFilter(json['senders'], json['not_senders'], { hasStars: false })
    this.#rooms = new TextFilter(json['rooms'], json['not_rooms'], { hasStars: false })
    this.#relTypes = new TextFilter(json['org.matrix.msc3874.rel_types'], json['org.matrix.msc3874.not_rel_types'], {
      hasStars: false,
    })
    this.#containsUrl = typeof json['contains_url'] === 'boolean' ? json['contains_url'] : undefined
    const texts = [this.#types, this.#senders, this.#rooms, this.#relTypes]
    this.matchesNothing = texts.some((filter) => filter.matchesNothing)
    this.matchesEverything =
      texts.every((filter) => filter.matchesEverything) && this.#containsUrl === undefined && !this.needsRelations
  }

  /** Tells whether the filter keeps the event. */
  matches(event: FilterableEvent): boolean {
    if (this.matchesEverything) return true
    return (
      this.#types.matches(event.type) &&
      this.#senders.matches(event.sender) &&
      this.#rooms.matches(event.roomId) &&
      (this.#containsUrl === undefined || hasUrl(event.content) === this.#containsUrl) &&
      (this.#relTypes.matchesEverything || this.#relTypes.matches(relTypeOf(event.content))) &&
      (!this.needsRelations || this.#isRelated(event))
    )
  }

  /** As `matches`, where only the type is known: false means that no event of this type can be kept. */
  matchesType(type: string): boolean {
    return this.#types.matches(type)
  }

  /** As `matches`, where only the room is known: false means that no event of this room can be kept. */
  matchesRoom(roomId: string): boolean {
    return this.#rooms.matches(roomId)
  }

  /** One and the same relation must have a wanted sender and a wanted type. Spec v1.3: § Filtering by relations (MSC3440). */
  #isRelated(event: FilterableEvent): boolean {
    const { relatedBySenders, relatedByRelTypes } = this
    return (event.relatedBy ?? []).some(
      ({ sender, relType }) =>
        (relatedBySenders === undefined || relatedBySenders.includes(sender)) &&
        (relatedByRelTypes === undefined || relatedByRelTypes.includes(relType)),
    )
  }
}

/** A list of texts to include and one to exclude; the second wins. An absent first list includes everything. */
class TextFilter {
  readonly matchesEverything: boolean
  readonly matchesNothing: boolean
  readonly #included: TextSet | undefined
  readonly #excluded: TextSet

  constructor(included: JsonValue | undefined, excluded: JsonValue | undefined, options: { readonly hasStars: boolean }) {
    const texts = readTexts(included)
    this.#included = texts === undefined ? undefined : new TextSet(texts, options)
    this.#excluded = new TextSet(readTexts(excluded) ?? [], options)
    this.matchesEverything = texts === undefined && this.#excluded.isEmpty
    this.matchesNothing = texts?.length === 0 || (options.hasStars && this.#excluded.has('*'))
  }

  /** An event that lacks the property is kept unless a list of included texts asks for it. */
  matches(text: string | undefined): boolean {
    if (this.matchesEverything) return true
    if (text === undefined) return this.#included === undefined
    return !this.#excluded.has(text) && (this.#included === undefined || this.#included.has(text))
  }
}

class TextSet {
  readonly isEmpty: boolean
  readonly #exact: ReadonlySet<string>
  readonly #globs: readonly Glob[]

  constructor(texts: readonly string[], { hasStars }: { readonly hasStars: boolean }) {
    const isGlob = (text: string): boolean => hasStars && text.includes('*')
    this.isEmpty = texts.length === 0
    this.#exact = new Set(texts.filter((text) => !isGlob(text)))
    this.#globs = texts.filter(isGlob).map(compileStarGlob)
  }

  has(text: string): boolean {
    if (this.#exact.has(text)) return true
    for (const glob of this.#globs) {
      if (glob.matches(text)) return true
    }
    return false
  }
}

function readTexts(value: JsonValue | undefined): readonly string[] | undefined {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : undefined
}

function hasUrl(content: JsonValue | undefined): boolean {
  return isJsonObject(content) && typeof content['url'] === 'string'
}

function relTypeOf(content: JsonValue | undefined): string | undefined {
  const relation = isJsonObject(content) ? content['m.relates_to'] : undefined
  const relType = isJsonObject(relation) ? relation['rel_type'] : undefined
  return typeof relType === 'string' ? relType : undefined
}
