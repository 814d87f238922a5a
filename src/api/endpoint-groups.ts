/** How requests of a group are spread over the processes that serve it. */
export type Balance = 'any' | 'user' | 'room' | 'source'

/** A family of endpoints that is routed together. */
export interface EndpointGroup {
  /** The stream whose configured writer is the preferred target; correct anywhere. */
  readonly prefer?:
    | 'events'
    | 'typing'
    | 'to_device'
    | 'account_data'
    | 'receipts'
    | 'presence'
    | 'push_rules'
    | 'device_lists'
    | 'thread_subscriptions'
  readonly balance: Balance
  /** Long polls need long proxy timeouts. */
  readonly isLongPoll?: boolean
  /** Served only where the media store is. */
  readonly needsMediaStore?: boolean
}

/** Who may serve what, and how to balance: proxies, router and docs are made from this list and the endpoints alone. */
export const ENDPOINT_GROUPS = {
  server: { balance: 'any' },
  sync: { balance: 'user', isLongPoll: true },
  login: { balance: 'any' },
  account: { balance: 'any' },
  devices: { balance: 'any', prefer: 'device_lists' },
  client_reads: { balance: 'any' },
  room_messages: { balance: 'room' },
  event_sending: { balance: 'room', prefer: 'events' },
  encryption: { balance: 'user', prefer: 'device_lists' },
  to_device: { balance: 'any', prefer: 'to_device' },
  account_data: { balance: 'any', prefer: 'account_data' },
  receipts: { balance: 'any', prefer: 'receipts' },
  presence: { balance: 'any', prefer: 'presence' },
  typing: { balance: 'any', prefer: 'typing' },
  push_rules: { balance: 'any', prefer: 'push_rules' },
  user_directory: { balance: 'any' },
  media: { balance: 'any', needsMediaStore: true },
  admin: { balance: 'any' },
} as const satisfies Record<string, EndpointGroup>
export type EndpointGroupName = keyof typeof ENDPOINT_GROUPS
