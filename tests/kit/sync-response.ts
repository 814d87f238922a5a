/** An event as clients get it, as loosely as tests need it. */
export interface ClientEvent {
  readonly type: string
  readonly content: Record<string, unknown>
  readonly event_id: string
  readonly sender: string
  readonly origin_server_ts: number
  readonly state_key?: string
  readonly unsigned?: Record<string, unknown>
}

export interface JoinedRoom {
  readonly timeline?: { readonly events: readonly ClientEvent[]; readonly limited?: boolean; readonly prev_batch?: string }
  readonly state?: { readonly events: readonly ClientEvent[] }
  readonly ephemeral?: { readonly events: readonly ClientEvent[] }
  readonly account_data?: { readonly events: readonly ClientEvent[] }
  readonly summary?: Record<string, unknown>
  readonly unread_notifications?: { readonly notification_count?: number; readonly highlight_count?: number }
}

/** The members of a /sync answer that tests look at. Spec: client-server API § Syncing. */
export interface SyncResponse {
  readonly next_batch: string
  readonly rooms?: {
    readonly join?: Readonly<Record<string, JoinedRoom>>
    readonly invite?: Readonly<Record<string, { readonly invite_state?: { readonly events: readonly ClientEvent[] } }>>
    readonly knock?: Readonly<Record<string, { readonly knock_state?: { readonly events: readonly ClientEvent[] } }>>
    readonly leave?: Readonly<Record<string, JoinedRoom>>
  }
  readonly presence?: { readonly events: readonly ClientEvent[] }
  readonly account_data?: { readonly events: readonly ClientEvent[] }
  readonly to_device?: { readonly events: readonly ClientEvent[] }
  readonly device_lists?: { readonly changed?: readonly string[]; readonly left?: readonly string[] }
  readonly device_one_time_keys_count?: Readonly<Record<string, number>>
  readonly device_unused_fallback_key_types?: readonly string[]
}

/** The timeline events of a joined room in one answer. */
export function timelineOf(response: SyncResponse, roomId: string): readonly ClientEvent[] {
  return response.rooms?.join?.[roomId]?.timeline?.events ?? []
}

/** The event ids of a joined room's timeline in one answer. */
export function eventIdsOf(response: SyncResponse, roomId: string): string[] {
  return timelineOf(response, roomId).map((event) => event.event_id)
}
