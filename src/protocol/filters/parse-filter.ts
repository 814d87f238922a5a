import { MatrixError } from '../errors.ts'
import { parseRoomId, parseUserId } from '../ids.ts'
import type { JsonObject, JsonValue } from '../json.ts'
import { isJsonObject } from '../json.ts'

const LIST_ENTRIES_MAX = 10_000
const TEXT_LENGTH_MAX = 1_024
const EVENT_FIELDS_MAX = 1_000

type Check = (value: JsonValue, what: string) => void

const EVENT_FILTER: Readonly<Record<string, Check>> = {
  limit: checkLimit,
  senders: checkListOf(checkUserId),
  not_senders: checkListOf(checkUserId),
  types: checkListOf(checkText),
  not_types: checkListOf(checkText),
  'org.matrix.msc3874.rel_types': checkListOf(checkText),
  'org.matrix.msc3874.not_rel_types': checkListOf(checkText),
}

const ROOM_EVENT_FILTER: Readonly<Record<string, Check>> = {
  ...EVENT_FILTER,
  rooms: checkListOf(checkRoomId),
  not_rooms: checkListOf(checkRoomId),
  contains_url: checkBoolean,
  lazy_load_members: checkBoolean,
  include_redundant_members: checkBoolean,
  unread_thread_notifications: checkBoolean,
  related_by_senders: checkListOf(checkUserId),
  related_by_rel_types: checkListOf(checkText),
}

const ROOM_FILTER: Readonly<Record<string, Check>> = {
  rooms: checkListOf(checkRoomId),
  not_rooms: checkListOf(checkRoomId),
  include_leave: checkBoolean,
  ephemeral: checkObject(ROOM_EVENT_FILTER),
  state: checkObject(ROOM_EVENT_FILTER),
  timeline: checkObject(ROOM_EVENT_FILTER),
  account_data: checkObject(ROOM_EVENT_FILTER),
}

const FILTER: Readonly<Record<string, Check>> = {
  event_fields: checkEventFields,
  event_format: checkEventFormat,
  presence: checkObject(EVENT_FILTER),
  account_data: checkObject(EVENT_FILTER),
  room: checkObject(ROOM_FILTER),
}

/** Checks a client's filter and gives it back as it is; unknown keys stay. Throws M_BAD_JSON. Spec: sync_filter.yaml. */
export function parseFilter(value: unknown): JsonObject {
  return parseWith(FILTER, value, 'The filter')
}

/** Checks the filter of /messages, /context and search. Throws M_BAD_JSON. Spec: room_event_filter.yaml. */
export function parseRoomEventFilter(value: unknown): JsonObject {
  return parseWith(ROOM_EVENT_FILTER, value, 'The filter')
}

function parseWith(checks: Readonly<Record<string, Check>>, value: unknown, what: string): JsonObject {
  if (!isJsonObject(value)) throw badFilter(what, 'must be an object')
  for (const [key, check] of Object.entries(checks)) {
    const part = Object.hasOwn(value, key) ? value[key] : undefined
    if (part !== undefined) check(part, `'${key}'`)
  }
  return value
}

function checkObject(checks: Readonly<Record<string, Check>>): Check {
  return (value, what) => void parseWith(checks, value, what)
}

function checkListOf(checkEntry: Check): Check {
  return (value, what) => {
    if (!Array.isArray(value)) throw badFilter(what, 'must be a list')
    if (value.length > LIST_ENTRIES_MAX) throw badFilter(what, `may have at most ${LIST_ENTRIES_MAX} entries`)
    for (const entry of value as JsonValue[]) checkEntry(entry, what)
  }
}

function checkText(value: JsonValue, what: string): asserts value is string {
  if (typeof value !== 'string') throw badFilter(what, 'must hold texts')
  if (value.length > TEXT_LENGTH_MAX) throw badFilter(what, 'holds a text that is too long')
}

function checkUserId(value: JsonValue, what: string): void {
  checkText(value, what)
  checkId(value, what, parseUserId)
}

function checkRoomId(value: JsonValue, what: string): void {
  checkText(value, what)
  checkId(value, what, parseRoomId)
}

function checkId(value: string, what: string, parse: (value: string) => unknown): void {
  try {
    parse(value)
  } catch (cause) {
    throw new MatrixError('M_BAD_JSON', `${what} of the filter holds an identifier that is malformed`, { cause })
  }
}

function checkBoolean(value: JsonValue, what: string): void {
  if (typeof value !== 'boolean') throw badFilter(what, 'must be true or false')
}

function checkLimit(value: JsonValue, what: string): void {
  // Zero is not in the specification, but clients send it to ask for no timeline.
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) throw badFilter(what, 'must be a positive integer')
}

function checkEventFields(value: JsonValue, what: string): void {
  checkListOf(checkText)(value, what)
  if ((value as readonly JsonValue[]).length > EVENT_FIELDS_MAX)
    throw badFilter(what, `may have at most ${EVENT_FIELDS_MAX} entries`)
}

function checkEventFormat(value: JsonValue, what: string): void {
  if (value !== 'client' && value !== 'federation') throw badFilter(what, "must be 'client' or 'federation'")
}

function badFilter(what: string, why: string): MatrixError {
  return new MatrixError('M_BAD_JSON', `${what} ${why}`)
}
