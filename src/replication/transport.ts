import type { JsonValue } from '../protocol/json.ts'
import type { Frame } from '../streams/streams.ts'

/** Something that processes tell each other besides rows of streams; a hint that may get lost. */
export interface ControlMessage {
  readonly kind: string
  readonly [key: string]: JsonValue
}

export type ControlHandler = (message: ControlMessage) => void

/** What a transport has done, for metrics. */
export interface TransportStats {
  framesSent: number
  framesReceived: number
  /** Frames that went without their rows, because they were too large. */
  framesStripped: number
  /** Messages that were not of the expected form, or not from one of us. */
  invalid: number
  /** What was not sent, because too much waited. */
  dropped: number
  /** Times that Redis was given up, and taken up again. */
  failovers: number
  recoveries: number
  errors: number
  headPolls: number
  /** How old the newest frame from elsewhere was when it came. */
  lastLagMs: number
}

/** Carries committed frames and control messages between the processes of one server. Replication design, section 2. */
export interface Transport {
  readonly mode: 'local' | 'redis' | 'postgres'
  readonly stats: Readonly<TransportStats>
  /** Begins to send what the hub's `commit` tells of, and to apply what others send. After the heads were set. */
  start(): Promise<void>
  /** Sends a frame that is committed. Never waits, never throws. */
  publish(frame: Frame): void
  /** Tells the other processes something. Never waits, never throws. */
  publishControl(message: ControlMessage): void
  /** Registers what happens with the messages of others. Must not throw. */
  onControl(handler: ControlHandler): void
  stop(): Promise<void>
}

/** Counters at zero. */
export function newTransportStats(): TransportStats {
  return {
    framesSent: 0,
    framesReceived: 0,
    framesStripped: 0,
    invalid: 0,
    dropped: 0,
    failovers: 0,
    recoveries: 0,
    errors: 0,
    headPolls: 0,
    lastLagMs: 0,
  }
}
