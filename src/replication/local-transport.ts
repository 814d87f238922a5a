import { newTransportStats } from './transport.ts'
import type { Transport } from './transport.ts'

/** The transport of a process that is alone: there is nobody to tell. */
export class LocalTransport implements Transport {
  readonly mode = 'local'
  readonly stats = newTransportStats()

  start(): Promise<void> {
    return Promise.resolve()
  }

  publish(): void {
    // Nobody listens.
  }

  publishControl(): void {
    // Nobody listens.
  }

  onControl(): void {
    // Nobody speaks.
  }

  stop(): Promise<void> {
    return Promise.resolve()
  }
}
