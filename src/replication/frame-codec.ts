import { createHmac, timingSafeEqual } from 'node:crypto'
import { isJsonObject } from '../protocol/json.ts'
import type { JsonObject } from '../protocol/json.ts'
import { STREAMS } from '../streams/streams.ts'
import type { Frame, StreamName, StreamPosition } from '../streams/streams.ts'
import { ROW_CHECKS } from './row-checks.ts'
import type { ControlMessage } from './transport.ts'

/** The version of the format. Others are not understood, and what they tell is read from PostgreSQL. */
const VERSION = 1
/** Above this a frame travels without its rows, and readers ask PostgreSQL. */
const FRAME_BYTES_MAX = 256 * 1024
/** Nothing of ours is larger: what is, is not even parsed. */
const MESSAGE_CHARACTERS_MAX = FRAME_BYTES_MAX + 4096
const LANES_MAX = 64
const MAC_BYTES = 16
const MAC_CHARACTERS = 22
const SAMPLE_CHARACTERS = FRAME_BYTES_MAX / 4

/** Who sends: the process's name, and the number of its life. */
export interface SenderId {
  readonly instance: string
  readonly boot: string
}

/** A message of another process. `rows` null: the lane has moved to `head`, ask PostgreSQL for the rows. */
export type Incoming = { readonly instance: string; readonly boot: string; readonly sentTsMs: number } & (
  | { readonly frame: Frame }
  | { readonly moved: { readonly stream: StreamName; readonly lane: number; readonly head: number } }
  | { readonly control: ControlMessage }
  | { readonly echo: number }
)

/**
 * Writes and reads messages between processes:
 *
 *     {"v":1,"by":"ep1","boot":"6f1c","ts":1790000000000,"s":"events","l":0,"prev":1041,"head":1044,"rows":[[1042,{…}],[1044,{…}]]}
 *     {"v":1,"by":"ep1","boot":"6f1c","ts":1790000000000,"c":{"kind":"member"}}
 *
 * With a secret, a message authentication code of 22 characters stands before the text, so that who only reaches Redis can
 * say nothing. What is read is checked to the last field: a message of another form is undefined, never an error.
 */
export class FrameCodec {
  readonly #self: SenderId
  readonly #secret: string | undefined

  constructor(deps: { self: SenderId; secret: string | undefined }) {
    this.#self = deps.self
    this.#secret = deps.secret
  }

  writeFrame(frame: Frame, nowMs: number): { readonly text: string; readonly isStripped: boolean } {
    const head = headOf(frame)
    const fields = { s: frame.stream, l: frame.lane, prev: frame.prev, head }
    const text = this.#write({ ...fields, rows: frame.rows.map(({ position, row }) => [position, row]) }, nowMs)
    if (text.length <= SAMPLE_CHARACTERS || Buffer.byteLength(text) <= FRAME_BYTES_MAX) return { text, isStripped: false }
    return { text: this.#write({ ...fields, rows: null }, nowMs), isStripped: true }
  }

  /** Says that a lane has moved, without rows. */
  writeMoved(moved: { stream: StreamName; lane: number; head: number }, nowMs: number): string {
    return this.#write({ s: moved.stream, l: moved.lane, prev: 0, head: moved.head, rows: null }, nowMs)
  }

  writeControl(message: ControlMessage, nowMs: number): string {
    return this.#write({ c: message }, nowMs)
  }

  /** A message for oneself: that it comes back says that the way is open. */
  writeEcho(number: number, nowMs: number): string {
    return this.#write({ e: number }, nowMs)
  }

  #write(fields: object, nowMs: number): string {
    const text = JSON.stringify({ v: VERSION, by: this.#self.instance, boot: this.#self.boot, ts: nowMs, ...fields })
    return this.#secret === undefined ? text : macOf(this.#secret, text).toString('base64url') + text
  }

  /** Reads a message; undefined where it is of another form, or not from one of us. Never throws. */
  read(message: string): Incoming | undefined {
    if (message.length > MESSAGE_CHARACTERS_MAX) return undefined
    const text = this.#authenticate(message)
    const fields = text === undefined ? undefined : parseObject(text)
    if (!fields || fields['v'] !== VERSION) return undefined
    const { by, boot, ts } = fields as { by?: unknown; boot?: unknown; ts?: unknown }
    if (typeof by !== 'string' || typeof boot !== 'string' || !isPosition(ts)) return undefined
    const sender = { instance: by, boot, sentTsMs: ts }
    if (fields['c'] !== undefined) return readControl(sender, fields['c'])
    if (fields['e'] !== undefined) return isPosition(fields['e']) ? { ...sender, echo: fields['e'] } : undefined
    return readFrame(sender, fields)
  }

  #authenticate(message: string): string | undefined {
    if (this.#secret === undefined) return message
    const mac = Buffer.from(message.slice(0, MAC_CHARACTERS), 'base64url')
    const text = message.slice(MAC_CHARACTERS)
    if (mac.length !== MAC_BYTES || !timingSafeEqual(mac, macOf(this.#secret, text))) return undefined
    return text
  }

  /** Tells whether this process, in this life, has sent the message. */
  isOwn(incoming: Incoming): boolean {
    return incoming.boot === this.#self.boot && incoming.instance === this.#self.instance
  }
}

/** The lane's head after the frame. */
export function headOf(frame: Frame): number {
  return Math.max(frame.head ?? 0, frame.rows.at(-1)?.position ?? 0, frame.prev)
}

function macOf(secret: string, text: string): Buffer {
  return createHmac('sha256', secret).update('ganglion frame\n').update(text).digest().subarray(0, MAC_BYTES)
}

function parseObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isJsonObject(value) ? value : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function readControl(sender: { instance: string; boot: string; sentTsMs: number }, value: unknown): Incoming | undefined {
  if (!isJsonObject(value) || typeof value['kind'] !== 'string' || Object.hasOwn(value, '__proto__')) return undefined
  return { ...sender, control: value as ControlMessage }
}

function readFrame(sender: { instance: string; boot: string; sentTsMs: number }, fields: JsonObject): Incoming | undefined {
  const { s: stream, l: lane, prev, head, rows } = fields as Record<'s' | 'l' | 'prev' | 'head' | 'rows', unknown>
  if (typeof stream !== 'string' || !isStreamName(stream)) return undefined
  if (!isPosition(lane) || lane >= LANES_MAX || !isPosition(prev) || !isPosition(head) || head < prev) return undefined
  if (rows === null) return { ...sender, moved: { stream, lane, head } }
  if (!Array.isArray(rows)) return undefined
  const check = ROW_CHECKS[stream]
  const read: { position: StreamPosition; row: never }[] = []
  let last = prev
  for (const entry of rows as readonly unknown[]) {
    if (!Array.isArray(entry) || entry.length !== 2) return undefined
    const [position, row] = entry as unknown[]
    if (!isPosition(position) || position <= last || position > head || !check(row)) return undefined
    read.push({ position: position as StreamPosition, row: row as never })
    last = position
  }
  return { ...sender, frame: { stream, lane, prev, head, rows: read } }
}

function isStreamName(name: string): name is StreamName {
  return Object.hasOwn(STREAMS, name)
}

function isPosition(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
