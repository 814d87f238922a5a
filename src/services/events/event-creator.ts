import type { RateLimit, RateLimiter } from '../../http/rate-limiter.ts'
import { userPowerLevel, namedPowerLevel, roomCreators } from '../../protocol/auth-rules/power-levels.ts'
import { MatrixError } from '../../protocol/errors.ts'
import { assertFieldSize } from '../../protocol/events/event-limits.ts'
import { parseEventId, parseUserId } from '../../protocol/ids.ts'
import type { EventId, RoomAlias, RoomId, ServerName, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { getRoomVersion } from '../../protocol/room-versions/room-versions.ts'
import type { Database } from '../../storage/database.ts'
import { getAnnotationsBySender } from '../../storage/tables/annotations.ts'
import { getEventIdOfTransaction } from '../../storage/tables/events.ts'
import { assert } from '../../util/assert.ts'
import type { Requester } from '../accounts/requester.ts'
import type { Random } from '../../util/random.ts'
import { unseenEventId } from '../accounts/shadow-ban.ts'
import type { MembershipChanges } from '../rooms/membership-changes.ts'
import type { RoomSlots } from '../rooms/reading/room-slots.ts'
import { transactionDeviceOf } from './client-events.ts'
import { relationOfContent } from './event-building.ts'
import type { EventIntent, EventsWriter, EventTransaction } from './event-intent.ts'
import type { EventReader } from './event-reader.ts'
import { aliasesOf, checkStateContent } from './state-content.ts'

const TRANSACTION_ID_BYTES_MAX = 255
const REDACTION = 'm.room.redaction'

export interface EventCreatorDeps {
  readonly database: Database
  readonly writer: EventsWriter
  readonly events: EventReader
  readonly slots: RoomSlots
  readonly membershipChanges: MembershipChanges
  readonly aliases: { getRoomId(alias: RoomAlias): Promise<RoomId | undefined> }
  readonly rateLimiter: RateLimiter
  readonly random: Random
  readonly serverName: ServerName
  readonly limits: { readonly messages: RateLimit; readonly adminRedactions: RateLimit | undefined }
}

/** A message event as a client asks for it. */
export interface MessageRequest {
  readonly roomId: RoomId
  readonly type: string
  readonly content: JsonObject
  readonly transactionId: string
  /** Application services may choose it. */
  readonly originServerTs?: number | undefined
}

/** A state event as a client asks for it. */
export interface StateRequest {
  readonly roomId: RoomId
  readonly type: string
  readonly stateKey: string
  readonly content: JsonObject
  readonly originServerTs?: number | undefined
}

/** What clients want to say: everything is checked that needs no room, or only a look at it; the room's owner does the rest. */
export class EventCreator {
  readonly #deps: EventCreatorDeps

  constructor(deps: EventCreatorDeps) {
    this.#deps = deps
  }

  /** Sends a message event; a transaction id that was used before gives the event of then. Spec: room_send.yaml. */
  async send(requester: Requester, request: MessageRequest): Promise<EventId> {
    const { type, content } = request
    assertFieldSize(type, 'type')
    if (type === REDACTION) return this.#sendRedaction(requester, request)
    if (type === 'm.room.create') throw new MatrixError('M_INVALID_PARAM', 'A room has one m.room.create event only')
    refuseSuspended(requester)
    const transaction = transactionOf(requester, request.transactionId, type)
    const relation = relationOfContent(content)
    if (relation) {
      const earlier = await this.#checkRelation(requester, request, { ...relation, transaction })
      if (earlier !== undefined) return earlier
    }
    await this.#limit(requester)
    if (requester.isShadowBanned) return unseenEventId(this.#deps.random)
    const { originServerTs } = request
    return this.#append(request.roomId, { type, sender: requester.userId, content, transaction, originServerTs })
  }

  /** Sets state; memberships go their own way. Spec: room_state.yaml. */
  async setState(requester: Requester, request: StateRequest): Promise<EventId> {
    const { roomId, type, stateKey, content } = request
    assertFieldSize(type, 'type')
    assertFieldSize(stateKey, 'state_key')
    if (type === 'm.room.create') throw new MatrixError('M_INVALID_PARAM', 'A room has one m.room.create event only')
    if (type === 'm.room.member') {
      return this.#deps.membershipChanges.setMemberState(requester, { roomId, userId: parseUserId(stateKey), content })
    }
    refuseSuspended(requester)
    checkStateContent(type, stateKey, content, this.#deps.serverName)
    if (stateKey === '' && type === 'm.room.power_levels') await this.#checkCreatorsAreNotNamed(roomId, content)
    if (stateKey === '' && type === 'm.room.canonical_alias') await this.#checkAliases(roomId, content)
    await this.#limit(requester)
    if (requester.isShadowBanned) return unseenEventId(this.#deps.random)
    return this.#append(roomId, { type, sender: requester.userId, stateKey, content, originServerTs: request.originServerTs })
  }

  /** Redacts an event. Throws M_FORBIDDEN, M_NOT_FOUND. Spec: redaction.yaml. */
  async redact(
    requester: Requester,
    request: { readonly roomId: RoomId; readonly eventId: EventId; readonly content: JsonObject; readonly transactionId: string },
  ): Promise<EventId> {
    const { roomId, eventId, content } = request
    return this.#redact(requester, {
      roomId,
      redacts: eventId,
      content,
      transaction: transactionOf(requester, request.transactionId, `redact/${eventId}`),
    })
  }

  /** Spec: room_send.yaml: `redacts` stands in the content, whatever the room version. */
  #sendRedaction(requester: Requester, request: MessageRequest): Promise<EventId> {
    const { redacts } = request.content
    if (typeof redacts !== 'string') throw new MatrixError('M_BAD_JSON', 'A redaction must name the event to redact')
    const transaction = transactionOf(requester, request.transactionId, REDACTION)
    return this.#redact(requester, {
      roomId: request.roomId,
      redacts: parseEventId(redacts),
      content: request.content,
      transaction,
    })
  }

  async #redact(
    requester: Requester,
    request: { roomId: RoomId; redacts: EventId; content: JsonObject; transaction: EventTransaction },
  ): Promise<EventId> {
    const { roomId, redacts, transaction } = request
    const { userId } = requester
    const target = (await this.#deps.events.getEvent(redacts))?.event
    if (target && target.roomId !== roomId) throw unknownTarget()
    if (target?.type === 'm.room.create') throw new MatrixError('M_FORBIDDEN', 'The m.room.create event cannot be redacted')
    if (target?.type === 'm.room.server_acl') throw new MatrixError('M_FORBIDDEN', 'Server ACLs cannot be redacted')
    const isOwn = target?.sender === userId
    if (!isOwn) {
      refuseSuspended(requester)
      const levels = await this.#deps.slots.getPowerLevels(roomId)
      if (!levels || userPowerLevel(levels, userId) < namedPowerLevel(levels, 'redact')) {
        // Who may redact anything may redact what only other servers have yet.
        if (!target) throw unknownTarget()
        throw new MatrixError('M_FORBIDDEN', 'The power level does not suffice to redact events of others')
      }
    }
    const { adminRedactions } = this.#deps.limits
    if (!isOwn && adminRedactions && requester.isRateLimited)
      await this.#deps.rateLimiter.consume(`admin_redaction:${userId}`, adminRedactions)
    else await this.#limit(requester)
    if (requester.isShadowBanned) return unseenEventId(this.#deps.random)
    const { redacts: _named, ...content } = request.content
    return this.#append(roomId, { type: REDACTION, sender: userId, content, redacts, transaction })
  }

  /** Returns the event of an earlier request with the same transaction id, which must not fail on its own annotation. */
  async #checkRelation(
    requester: Requester,
    request: MessageRequest,
    relation: { readonly type: string; readonly eventId: string; readonly transaction: EventTransaction },
  ): Promise<EventId | undefined> {
    if (relation.type === 'm.annotation' && (await this.#isDuplicateAnnotation(requester.userId, request, relation.eventId))) {
      const { device, id, scope } = relation.transaction
      const earlier = await getEventIdOfTransaction(this.#deps.database, {
        sender: requester.userId,
        txnDevice: device,
        txnId: id,
        txnScope: scope,
        roomId: request.roomId,
      })
      if (earlier === undefined) throw new MatrixError('M_DUPLICATE_ANNOTATION', "Can't send same reaction twice")
      return earlier
    }
    if (relation.type === 'm.thread') {
      const root = (await this.#deps.events.getEvent(relation.eventId as EventId))?.event
      if (root && relationOfContent(root.content)) {
        throw new MatrixError('M_UNKNOWN', 'Cannot start threads from an event with a relation', { status: 400 })
      }
    }
    return undefined
  }

  /** Spec: client-server-api § Avoiding duplicate annotations. */
  async #isDuplicateAnnotation(sender: UserId, request: MessageRequest, eventId: string): Promise<boolean> {
    const key = annotationKeyOf(request.content)
    if (key === undefined) return false
    const texts = await getAnnotationsBySender(this.#deps.database, {
      roomId: request.roomId,
      eventId,
      sender,
      type: request.type,
    })
    return texts.some((text) => {
      const { content } = JSON.parse(text) as { content: JsonObject }
      return annotationKeyOf(content) === key
    })
  }

  /** Spec: rooms/v12: creators stand above the levels, naming them is an error of the client. */
  async #checkCreatorsAreNotNamed(roomId: RoomId, content: JsonObject): Promise<void> {
    const { users } = content
    if (!isJsonObject(users)) return
    const create = (await this.#deps.slots.get(roomId, [{ type: 'm.room.create', stateKey: '' }]))('m.room.create', '')
    const version = create && getRoomVersion(create.roomVersion)
    if (!create || !version?.privilegedCreators) return
    const named = roomCreators(version, create).find((creator) => Object.hasOwn(users, creator))
    if (named !== undefined) throw new MatrixError('M_BAD_JSON', `users names ${named}, a creator of the room`)
  }

  /** Aliases that are new in the event must exist and name this room. Throws M_BAD_ALIAS, M_INVALID_PARAM. */
  async #checkAliases(roomId: RoomId, content: JsonObject): Promise<void> {
    const aliases = aliasesOf(content)
    if (aliases.length === 0) return
    const former = (await this.#deps.slots.get(roomId, [{ type: 'm.room.canonical_alias', stateKey: '' }]))(
      'm.room.canonical_alias',
      '',
    )
    const known = new Set<unknown>([former?.content['alias'], former?.content['alt_aliases']].flat())
    for (const alias of new Set(aliases)) {
      if (known.has(alias)) continue
      if ((await this.#deps.aliases.getRoomId(alias)) !== roomId) {
        throw new MatrixError('M_BAD_ALIAS', `Room alias ${alias} does not point to this room`)
      }
    }
  }

  async #limit(requester: Requester): Promise<void> {
    if (requester.isRateLimited)
      await this.#deps.rateLimiter.consume(`message:${requester.userId}`, requester.messageLimit ?? this.#deps.limits.messages)
  }

  async #append(roomId: RoomId, intent: EventIntent): Promise<EventId> {
    const [appended] = await this.#deps.writer.append({ roomId, intents: [intent] })
    assert(appended, 'an intent is answered with its event')
    return appended.eventId
  }
}

function refuseSuspended(requester: Requester): void {
  if (requester.isSuspended)
    throw new MatrixError('M_USER_SUSPENDED', 'Sending messages while account is suspended is not allowed.')
}

function transactionOf(requester: Requester, id: string, scope: string): EventTransaction {
  if (Buffer.byteLength(id) > TRANSACTION_ID_BYTES_MAX || id.includes('\u0000') || !id.isWellFormed()) {
    throw new MatrixError('M_INVALID_PARAM', 'The transaction ID is malformed')
  }
  return { device: transactionDeviceOf(requester), id, scope }
}

function annotationKeyOf(content: JsonObject): string | undefined {
  const relates = content['m.relates_to']
  const key = isJsonObject(relates) ? relates['key'] : undefined
  return typeof key === 'string' ? key : undefined
}

function unknownTarget(): MatrixError {
  return new MatrixError('M_NOT_FOUND', 'The event to redact is not known')
}
