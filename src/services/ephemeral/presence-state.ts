import type { PresenceRow } from '../../storage/tables/presence.ts'

/** Spec: client-server-api § Presence. */
export type PresenceName = 'online' | 'unavailable' | 'offline'

/** What others see of a user. */
export interface PresenceState {
  readonly state: PresenceName
  readonly statusMsg: string | undefined
  /** 0: never seen active. */
  readonly lastActiveTsMs: number
  readonly isCurrentlyActive: boolean
}

/** What one device of the user says. */
export interface DevicePresence {
  state: PresenceName
  lastActiveTsMs: number
  /** When it was last heard that a sync waits or has ended. */
  lastSyncTsMs: number
}

/** Options of the section `presence` that say how time changes a state. */
export interface PresenceTimeouts {
  readonly lastActiveGranularityMs: number
  readonly syncOnlineTimeoutMs: number
  readonly idleTimeoutMs: number
}

export const OFFLINE: PresenceState = { state: 'offline', statusMsg: undefined, lastActiveTsMs: 0, isCurrentlyActive: false }

const RANK: Readonly<Record<PresenceName, number>> = { offline: 0, unavailable: 1, online: 2 }

/** The state of a user with these devices: that of the most present one. */
export function combineDevices(devices: Iterable<DevicePresence>): PresenceName {
  let best: PresenceName = 'offline'
  for (const { state } of devices) if (RANK[state] > RANK[best]) best = state
  return best
}

/** Lets time pass for the devices: idle ones become unavailable, silent ones are dropped. Returns whether any changed. */
export function applyTimeouts(devices: Map<string, DevicePresence>, nowMs: number, timeouts: PresenceTimeouts): boolean {
  let isChanged = false
  for (const [deviceId, device] of devices) {
    if (device.state === 'online' && nowMs - device.lastActiveTsMs > timeouts.idleTimeoutMs) {
      device.state = 'unavailable'
      isChanged = true
    }
    const lastSeenMs = Math.max(device.lastSyncTsMs, device.lastActiveTsMs)
    if (nowMs - lastSeenMs > timeouts.syncOnlineTimeoutMs) {
      devices.delete(deviceId)
      isChanged = true
    }
  }
  return isChanged
}

/**
 * Tells whether others must hear of the change. Somebody who is active all the time is no news; when a user was active last
 * is news once the granularity has passed.
 */
export function isNews(before: PresenceState, after: PresenceState, timeouts: PresenceTimeouts): boolean {
  if (before.state !== after.state || before.statusMsg !== after.statusMsg) return true
  if (after.state === 'online') {
    if (before.isCurrentlyActive !== after.isCurrentlyActive) return true
    if (after.isCurrentlyActive) return false
  }
  return after.lastActiveTsMs - before.lastActiveTsMs > timeouts.lastActiveGranularityMs
}

/** The content of an `m.presence` event. Spec: event-schemas m.presence. */
export function presenceContent(state: PresenceState, nowMs: number): Record<string, unknown> {
  return {
    presence: state.state,
    ...(state.lastActiveTsMs === 0 ? {} : { last_active_ago: Math.max(0, nowMs - state.lastActiveTsMs) }),
    ...(state.statusMsg === undefined ? {} : { status_msg: state.statusMsg }),
    ...(state.state === 'online' ? { currently_active: state.isCurrentlyActive } : {}),
  }
}

/** An `m.presence` event as JSON text. */
export function presenceEventJson(userId: string, state: PresenceState, nowMs: number): string {
  return JSON.stringify({ type: 'm.presence', sender: userId, content: presenceContent(state, nowMs) })
}

/** Makes a state from its row. */
export function stateOfRow(row: PresenceRow): PresenceState {
  const statusMsg: unknown = row.statusMsgJson === null ? undefined : JSON.parse(row.statusMsgJson)
  return {
    state: row.state === 'online' || row.state === 'unavailable' ? row.state : 'offline',
    statusMsg: typeof statusMsg === 'string' ? statusMsg : undefined,
    lastActiveTsMs: row.lastActiveTsMs,
    isCurrentlyActive: row.isCurrentlyActive,
  }
}

/** Makes the row of a state. */
export function rowOfState(userId: string, state: PresenceState): Omit<PresenceRow, 'position'> {
  return {
    userId,
    state: state.state,
    statusMsgJson: state.statusMsg === undefined ? null : JSON.stringify(state.statusMsg),
    lastActiveTsMs: state.lastActiveTsMs,
    isCurrentlyActive: state.isCurrentlyActive,
  }
}
