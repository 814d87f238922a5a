import type { TestClient } from './client.ts'

export const SLIDING_SYNC_PATH = '/_matrix/client/unstable/org.matrix.simplified_msc3575/sync'

export interface SlidingEvent {
  readonly event_id: string
  readonly type: string
  readonly sender: string
  readonly state_key?: string
  readonly content: Record<string, unknown>
  readonly unsigned?: Record<string, unknown>
}

export interface SlidingRoom {
  readonly name?: string
  readonly avatar?: string | null
  readonly heroes?: readonly { user_id: string; displayname?: string; avatar_url?: string }[]
  readonly initial?: boolean
  readonly is_dm?: boolean
  readonly required_state?: readonly SlidingEvent[]
  readonly timeline?: readonly SlidingEvent[]
  readonly invite_state?: readonly Omit<SlidingEvent, 'event_id'>[]
  readonly limited?: boolean
  readonly unstable_expanded_timeline?: boolean
  readonly prev_batch?: string
  readonly num_live?: number
  readonly bump_stamp?: number
  readonly joined_count?: number
  readonly invited_count?: number
  readonly notification_count?: number
  readonly highlight_count?: number
}

export interface SlidingResponse {
  readonly pos: string
  readonly txn_id?: string
  readonly lists: Record<string, { readonly count: number }>
  readonly rooms: Record<string, SlidingRoom>
  readonly extensions: {
    readonly to_device?: { next_batch: string; events: { type: string; sender: string; content: Record<string, unknown> }[] }
    readonly e2ee?: {
      device_lists?: { changed: string[]; left: string[] }
      device_one_time_keys_count?: Record<string, number>
      device_unused_fallback_key_types?: string[]
    }
    readonly account_data?: {
      global: { type: string; content: Record<string, unknown> }[]
      rooms: Record<string, { type: string; content: Record<string, unknown> }[]>
    }
    readonly receipts?: {
      rooms: Record<string, { type: string; content: Record<string, Record<string, Record<string, unknown>>> }>
    }
    readonly typing?: { rooms: Record<string, { type: string; content: { user_ids: string[] } }> }
  }
}

/** One connection of sliding sync: remembers the `pos`. */
export class SlidingClient {
  readonly client: TestClient
  body: Record<string, unknown>
  pos: string | undefined

  constructor(client: TestClient, body: Record<string, unknown>) {
    this.client = client
    this.body = body
  }

  /** Asks, and goes on to the answer's `pos`. `body` replaces members of the connection's. */
  async next(options: { readonly timeout?: number; readonly body?: Record<string, unknown> } = {}): Promise<SlidingResponse> {
    const response = await this.ask(options)
    this.pos = response.pos
    return response
  }

  /** Asks, and stays where it is. */
  ask(options: { readonly timeout?: number; readonly body?: Record<string, unknown> } = {}): Promise<SlidingResponse> {
    this.body = { ...this.body, ...options.body }
    return this.client.post<SlidingResponse>(SLIDING_SYNC_PATH, this.body, {
      query: { timeout: options.timeout ?? 0, ...(this.pos !== undefined && { pos: this.pos }) },
    })
  }

  /** Goes on until an answer is enough. */
  async until(isEnough: (response: SlidingResponse) => boolean, withinMs = 30_000): Promise<SlidingResponse> {
    const deadline = performance.now() + withinMs
    while (performance.now() < deadline) {
      const response = await this.next({ timeout: 1000 })
      if (isEnough(response)) return response
    }
    throw new Error(`${this.client.userId} did not see what it waited for`)
  }
}

/** A list of all rooms with this much of each. */
export function allRooms(
  timelineLimit: number,
  requiredState: readonly (readonly [string, string])[] = [],
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return { ranges: [[0, 99]], timeline_limit: timelineLimit, required_state: requiredState, ...more }
}

/** The ids of a timeline. */
export function timelineIds(room: SlidingRoom | undefined): string[] {
  return (room?.timeline ?? []).map((event) => event.event_id)
}

/** The slots of a `required_state`, sorted. */
export function stateSlots(room: SlidingRoom | undefined): string[] {
  return (room?.required_state ?? []).map((event) => `${event.type}|${event.state_key ?? ''}`).toSorted()
}
