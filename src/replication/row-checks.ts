import { isJsonObject } from '../protocol/json.ts'
import type { StreamName } from '../streams/streams.ts'

type Check = (value: unknown) => boolean

const text: Check = (value) => typeof value === 'string'
const flag: Check = (value) => typeof value === 'boolean'
const integer: Check = (value) => Number.isSafeInteger(value)

function optional(check: Check): Check {
  return (value) => value === undefined || check(value)
}

function nullable(check: Check): Check {
  return (value) => value === null || check(value)
}

function list(check: Check): Check {
  return (value) => Array.isArray(value) && value.every(check)
}

function oneOf(...words: readonly unknown[]): Check {
  return (value) => words.includes(value)
}

/** Own properties only. Further ones are let through: a newer process may tell more. */
function object(checks: Readonly<Record<string, Check>>): Check {
  const entries = Object.entries(checks)
  return (value) =>
    isJsonObject(value) &&
    !Object.hasOwn(value, '__proto__') &&
    entries.every(([key, check]) => check(Object.hasOwn(value, key) ? value[key] : undefined))
}

const pushAction = object({
  userId: text,
  kind: oneOf('action', 'join'),
  isNotify: flag,
  isHighlight: flag,
  isClassNotify: flag,
  isClassHighlight: flag,
})

const event = object({
  roomId: text,
  eventId: text,
  type: text,
  stateKey: optional(text),
  sender: text,
  depth: integer,
  originServerTs: integer,
  membership: optional(text),
  redacts: optional(text),
  relation: optional(object({ type: text, eventId: text })),
  replacesState: optional(object({ eventId: text, contentJson: text, sender: text })),
  transaction: optional(object({ deviceId: text, transactionId: text })),
  push: object({ isNotifying: flag, threadId: optional(text), actions: list(pushAction) }),
  clientJson: text,
})

const ofUser = object({ userId: text })

/** Tells for each stream whether a value has the form of its rows. Handlers of rows rely on it. */
export const ROW_CHECKS: Readonly<Record<StreamName, Check>> = {
  events: event,
  receipts: object({
    roomId: text,
    receiptType: text,
    userId: text,
    eventId: text,
    threadId: optional(text),
    receivedTsMs: integer,
    eventPosition: integer,
  }),
  account_data: object({ userId: text, roomId: optional(text), type: text }),
  push_rules: ofUser,
  pushers: ofUser,
  to_device: object({ userId: text, deviceId: text }),
  device_lists: object({ userId: text, viewerId: optional(text) }),
  presence: object({
    userId: text,
    state: oneOf('online', 'unavailable', 'offline'),
    statusMsg: optional(text),
    lastActiveTsMs: integer,
    isCurrentlyActive: flag,
  }),
  typing: object({ roomId: text, userIds: list(text) }),
  caches: object({ cache: text, keys: nullable(list(text)) }),
  thread_subscriptions: object({ userId: text, roomId: text, threadId: text }),
  profiles: object({ userId: text, field: text }),
}
