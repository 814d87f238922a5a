import type { EmailConfig } from '../../config/email.ts'
import type { MatrixEvent } from '../../protocol/events/event.ts'
import type { EventId, RoomId, UserId } from '../../protocol/ids.ts'
import { isJsonObject } from '../../protocol/json.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { getUnsubscribeToken } from '../../storage/tables/email-pushers.ts'
import type { SendingPusher } from '../../storage/tables/push-queue.ts'
import { safeMarkup, safeText } from '../../templates/safe-markup.ts'
import { formatNamed } from '../../templates/template-filters.ts'
import type { Random } from '../../util/random.ts'
import type { MailSender } from '../mail/mail-sender.ts'
import { describePeople } from './room-titles.ts'
import type { RoomTitle, RoomTitles } from './room-titles.ts'

const TOKEN_LETTERS = 40
/** Events that one mail shows; of more it shows the newest. */
const SHOWN_MAX = 50
const SHOWN_TYPES = new Set(['m.room.message', 'm.room.encrypted'])
const HASHES = 0x7fffffff

/** An event that a mail tells of. */
export interface ToldEvent {
  readonly event: MatrixEvent
  readonly queuedTsMs: number
}

/** Why a mail is sent now. Source: Synapse docs/templates.md, `reason`. */
export interface MailReason extends ToldEvent {
  readonly nowMs: number
  readonly delayBeforeMailMs: number
  readonly lastSentTsMs: number
  readonly throttleMs: number
}

/** A mail about missed messages. */
export interface NotificationMail {
  readonly pusherId: number
  readonly userId: UserId
  readonly pusher: SendingPusher
  /** Oldest first; at least one. */
  readonly told: readonly ToldEvent[]
  readonly reason: MailReason
  /** The same for the same mail. */
  readonly mailId: string
}

/** An event as clients get it, so far as mails show it. */
export interface ShownEvent {
  readonly event_id: string
  readonly type: string
  readonly sender: UserId
  readonly origin_server_ts: number
  readonly content: JsonObject
}

/** What stands just before and just after an event, as far as the user may see it. */
export type GetNeighbours = (
  userId: UserId,
  roomId: RoomId,
  eventId: EventId,
) => Promise<{ before: ShownEvent[]; after: ShownEvent[] }>

/** What a template is told of a message. Source: Synapse docs/templates.md. */
type MessageVariables = Readonly<Record<string, unknown>> & { readonly id: string }

/** Writes mails about missed messages: the variables are those of Synapse's templates. Throws MailError. */
export class NotificationMails {
  readonly #database: Database
  readonly #sender: MailSender
  readonly #titles: RoomTitles
  readonly #random: Random
  readonly #options: EmailConfig['email']
  readonly #serverName: string
  readonly #publicBaseUrl: string
  readonly #getNeighbours: GetNeighbours
  readonly #getDisplayName: (userId: UserId) => Promise<string | undefined>

  constructor(deps: {
    database: Database
    sender: MailSender
    titles: RoomTitles
    random: Random
    options: EmailConfig['email']
    serverName: string
    publicBaseUrl: string
    getNeighbours: GetNeighbours
    getDisplayName: (userId: UserId) => Promise<string | undefined>
  }) {
    this.#database = deps.database
    this.#sender = deps.sender
    this.#titles = deps.titles
    this.#random = deps.random
    this.#options = deps.options
    this.#serverName = deps.serverName
    this.#publicBaseUrl = deps.publicBaseUrl
    this.#getNeighbours = deps.getNeighbours
    this.#getDisplayName = deps.getDisplayName
  }

  /** Sends a mail; settles when the mail server has taken it. A pusher that was deleted meanwhile sends none. */
  async send(mail: NotificationMail): Promise<void> {
    const token = await getUnsubscribeToken(this.#database, mail.pusherId, this.#random.letters(TOKEN_LETTERS))
    if (token === undefined) return
    const { userId, pusher, reason } = mail
    const app = brandOf(pusher) ?? this.#options.appName
    const unsubscribeUrl = `${this.#publicBaseUrl}_synapse/client/unsubscribe?token=${token}`
    const told = mail.told.slice(-SHOWN_MAX)
    const rooms = groupByRoom(told)
    const titles = new Map<RoomId, RoomTitle>()
    for (const roomId of rooms.keys()) titles.set(roomId, await this.#titles.get(roomId, userId))
    const summary = await this.#summarize(userId, { rooms, titles, reason, app })
    const shown = []
    for (const [roomId, events] of rooms)
      shown.push(await this.#describeRoom(userId, { roomId, events, title: titles.get(roomId) }))
    await this.#sender.send({
      to: pusher.pushkey,
      subject: summary,
      htmlTemplate: this.#options.notifTemplateHtml,
      textTemplate: this.#options.notifTemplateText,
      appName: app,
      unsubscribeUrl,
      messageId: `<${mail.mailId}.notifications@${this.#serverName.replace(/:\d+$/, '')}>`,
      variables: {
        user_display_name: (await this.#getDisplayName(userId)) ?? userId,
        unsubscribe_link: unsubscribeUrl,
        summary_text: summary,
        rooms: shown,
        reason: {
          room_id: reason.event.roomId,
          room_name: titles.get(reason.event.roomId)?.title,
          now: reason.nowMs,
          received_at: reason.queuedTsMs,
          delay_before_mail_ms: reason.delayBeforeMailMs,
          last_sent_ts: reason.lastSentTsMs,
          throttle_ms: reason.throttleMs,
        },
      },
    })
  }

  /** One sentence, which is the subject too. */
  async #summarize(
    userId: UserId,
    mail: {
      rooms: ReadonlyMap<RoomId, readonly ToldEvent[]>
      titles: ReadonlyMap<RoomId, RoomTitle>
      reason: MailReason
      app: string
    },
  ): Promise<string> {
    const { subjects } = this.#options
    const { rooms, titles, reason, app } = mail
    const { roomId } = reason.event
    const events = rooms.get(roomId) ?? [reason]
    const room = titles.get(roomId)?.name
    const write = (subject: string, names: Readonly<Record<string, string>>): string => formatNamed(subject, { app, ...names })
    if (rooms.size > 1 && room !== undefined) return write(subjects.messagesInRoomAndOthers, { room })
    const people = await this.#titles.getPeople(roomId, [...new Set(events.map(({ event }) => event.sender))])
    const [first] = people.values()
    const person = first?.name ?? reason.event.sender
    if (rooms.size > 1) return write(subjects.messagesFromPersonAndOthers, { person })
    if (isInviteOf(events[0]?.event, userId)) {
      if (room === undefined) return write(subjects.inviteFromPerson, { person })
      return titles.get(roomId)?.isSpace === true
        ? write(subjects.inviteFromPersonToSpace, { person, space: room })
        : write(subjects.inviteFromPersonToRoom, { person, room })
    }
    if (events.length === 1)
      return room === undefined
        ? write(subjects.messageFromPerson, { person })
        : write(subjects.messageFromPersonInRoom, { person, room })
    if (room !== undefined) return write(subjects.messagesInRoom, { room })
    return people.size > 1
      ? write(subjects.messagesFromPersonAndOthers, { person })
      : write(subjects.messagesFromPerson, { person: describePeople([person]) })
  }

  async #describeRoom(
    userId: UserId,
    room: { roomId: RoomId; events: readonly ToldEvent[]; title: RoomTitle | undefined },
  ): Promise<Record<string, unknown>> {
    const { roomId, events, title } = room
    const isInvite = events.some(({ event }) => isInviteOf(event, userId))
    return {
      title: title?.title ?? roomId,
      hash: hashOf(roomId),
      invite: isInvite,
      link: this.#linkTo(roomId),
      avatar_url: title?.avatarUrl,
      notifs: isInvite ? [] : await this.#describeEvents(userId, roomId, events),
    }
  }

  /** Each event with one before and one after it; those that overlap become one block. */
  async #describeEvents(userId: UserId, roomId: RoomId, events: readonly ToldEvent[]): Promise<Record<string, unknown>[]> {
    const told = new Set<string>(events.map(({ event }) => event.eventId))
    const blocks: { link: string; ts: number; messages: MessageVariables[] }[] = []
    for (const { event, queuedTsMs } of events) {
      const { before, after } = await this.#getNeighbours(userId, roomId, event.eventId)
      const all = [...before, toShown(event), ...after].filter(({ type }) => SHOWN_TYPES.has(type))
      const messages = await this.#describeMessages(roomId, all, told)
      const last = blocks.at(-1)
      const known = new Set(last?.messages.map(({ id }) => id))
      if (last && messages.some(({ id }) => known.has(id))) last.messages.push(...messages.filter(({ id }) => !known.has(id)))
      else if (messages.length > 0) blocks.push({ link: this.#linkTo(roomId, event.eventId), ts: queuedTsMs, messages })
    }
    return blocks
  }

  async #describeMessages(roomId: RoomId, events: readonly ShownEvent[], told: ReadonlySet<string>): Promise<MessageVariables[]> {
    const people = await this.#titles.getPeople(roomId, [...new Set(events.map(({ sender }) => sender))])
    const messages = events.map(async (event) => {
      const person = people.get(event.sender)
      return {
        event_type: event.type,
        is_historical: !told.has(event.event_id),
        id: event.event_id,
        ts: event.origin_server_ts,
        sender_name: person?.name ?? event.sender,
        sender_avatar_url: person?.avatarUrl,
        sender_hash: hashOf(event.sender),
        ...(event.type === 'm.room.encrypted' ? {} : await describeBody(event.content)),
      }
    })
    return Promise.all(messages)
  }

  #linkTo(roomId: RoomId, eventId?: EventId): string {
    const client = this.#options.clientBaseUrl ?? this.#options.riotBaseUrl
    const base = client === undefined ? 'https://matrix.to/#' : `${client.replace(/\/$/, '')}/#/room`
    return eventId === undefined ? `${base}/${roomId}` : `${base}/${roomId}/${eventId}`
  }
}

async function describeBody(content: JsonObject): Promise<Record<string, unknown>> {
  const { msgtype, body, format, formatted_body: formatted, url } = content
  const isFormatted = format === 'org.matrix.custom.html' && typeof formatted === 'string' && formatted !== ''
  const isText = msgtype === 'm.text' || msgtype === 'm.notice' || msgtype === 'm.emote'
  return {
    msgtype: typeof msgtype === 'string' ? msgtype : undefined,
    body_text_plain: typeof body === 'string' ? body : undefined,
    ...(isText && isFormatted ? { body_text_html: await safeMarkup(formatted) } : {}),
    ...(isText && !isFormatted && typeof body === 'string' ? { body_text_html: safeText(body) } : {}),
    ...(msgtype === 'm.image' && typeof url === 'string' ? { image_url: url } : {}),
  }
}

function toShown(event: MatrixEvent): ShownEvent {
  const { eventId, type, sender, originServerTs, content } = event
  return { event_id: eventId, type, sender, origin_server_ts: originServerTs, content }
}

function isInviteOf(event: MatrixEvent | undefined, userId: UserId): boolean {
  return event?.type === 'm.room.member' && event.stateKey === userId && event.content['membership'] === 'invite'
}

/** The room with the newest event first. */
function groupByRoom(told: readonly ToldEvent[]): Map<RoomId, readonly ToldEvent[]> {
  const rooms = Map.groupBy(told, ({ event }) => event.roomId)
  return new Map([...rooms].toSorted(([, a], [, b]) => (b.at(-1)?.queuedTsMs ?? 0) - (a.at(-1)?.queuedTsMs ?? 0)))
}

/** The name of the app that set the pusher. */
function brandOf(pusher: SendingPusher): string | undefined {
  const data: unknown = JSON.parse(pusher.dataJson)
  const brand = isJsonObject(data) ? data['brand'] : undefined
  return typeof brand === 'string' && brand !== '' ? brand : undefined
}

/** By which templates pick one of a few pictures. */
function hashOf(text: string): number {
  let sum = 0
  for (const character of text) sum = (sum + (character.codePointAt(0) ?? 0)) % HASHES
  return sum
}
