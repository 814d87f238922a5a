import type { WriterStream } from '../config/workers.ts'

/** How requests of a group are spread over the processes that serve it. */
export type Balance = 'any' | 'user' | 'room' | 'source'

/** A family of endpoints that is routed together. */
export interface EndpointGroup {
  /** The stream whose configured writer is the preferred target; correct anywhere. */
  readonly prefer?: WriterStream
  readonly balance: Balance
  /** Long polls need long proxy timeouts. */
  readonly isLongPoll?: boolean
  /** Served only where the media store is. */
  readonly needsMediaStore?: boolean
  /** Where requests without `since` go: they cost much, and must not slow down those of others. */
  readonly withoutSince?: string
  /** The preferred writer holds what it writes in memory: worth a direct way even when that is the main process. */
  readonly isHeldByWriter?: boolean
  /** Rare or about the whole server: the main process, so that the others keep their time for users. */
  readonly prefersMain?: boolean
}

/** Who may serve what, and how to balance: proxies, router and docs are made from this list and the endpoints alone. Synapse: docs/workers.md. */
export const ENDPOINT_GROUPS = {
  server: { balance: 'any' },
  sync: { balance: 'user', isLongPoll: true, withoutSince: 'initial_sync' },
  initial_sync: { balance: 'user', isLongPoll: true },
  events_stream: { balance: 'user', isLongPoll: true },
  sliding_sync: { balance: 'user', isLongPoll: true },
  // Failed attempts are counted by each process: those of one address meet one counter.
  login: { balance: 'source' },
  sso: { balance: 'any', prefersMain: true },
  account: { balance: 'any' },
  devices: { balance: 'any', prefer: 'device_lists' },
  client_reads: { balance: 'any' },
  room_messages: { balance: 'room' },
  event_sending: { balance: 'room', prefer: 'events' },
  delayed_events: { balance: 'any' },
  encryption: { balance: 'user', prefer: 'device_lists' },
  to_device: { balance: 'any', prefer: 'to_device' },
  account_data: { balance: 'any', prefer: 'account_data' },
  receipts: { balance: 'any', prefer: 'receipts' },
  presence: { balance: 'any', prefer: 'presence', isHeldByWriter: true },
  typing: { balance: 'any', prefer: 'typing', isHeldByWriter: true },
  push_rules: { balance: 'any', prefer: 'push_rules' },
  thread_subscriptions: { balance: 'any', prefer: 'thread_subscriptions' },
  user_directory: { balance: 'any' },
  media: { balance: 'any', needsMediaStore: true },
  media_admin: { balance: 'any', needsMediaStore: true },
  admin: { balance: 'any', prefersMain: true },
  federation_reads: { balance: 'any' },
  federation_membership: { balance: 'any' },
  federation_send: { balance: 'source' },
  keys: { balance: 'any' },
  other: { balance: 'any', prefersMain: true },
} as const satisfies Record<string, EndpointGroup>
export type EndpointGroupName = keyof typeof ENDPOINT_GROUPS
