import type { UserId } from '../../protocol/ids.ts'
import { defineRpc, ignoreFailedCall, RpcRefusal } from '../../replication/rpc.ts'
import type { RpcCaller } from '../../replication/rpc-client.ts'
import type { RpcServer } from '../../replication/rpc-server.ts'
import type {
  PresenceChange,
  PresenceOwner,
  PresenceSignal,
  PresenceSink,
  RemotePresence,
} from '../../services/ephemeral/presence-owner.ts'
import type { Background } from '../../util/background.ts'

/** Signals are gathered this long. */
const GATHER_MS = 50
/** Signals that wait to be sent; more are dropped, since devices tell of themselves again. */
const WAITING_MAX = 50_000

/** Tells of devices that sync, and of users who do something. */
const SIGNAL = defineRpc<{ readonly signals: readonly PresenceSignal[] }, null>({
  name: 'edu.presence',
  deadlineMs: 2000,
  retry: 'other',
  isIdempotent: true,
})
/** Sets a user's state. Repeating it changes nothing. */
const SET_PRESENCE = defineRpc<PresenceChange, null>({
  name: 'edu.set_presence',
  deadlineMs: 10_000,
  retry: 'other',
  isIdempotent: true,
})

/** Sets states of other servers' users. Repeating it changes nothing. */
const SET_REMOTE = defineRpc<{ readonly states: readonly WirePresence[] }, null>({
  name: 'edu.set_remote_presence',
  deadlineMs: 10_000,
  retry: 'other',
  isIdempotent: true,
})

/** A state as JSON has it. */
interface WirePresence {
  readonly userId: UserId
  readonly state: Omit<RemotePresence['state'], 'statusMsg'> & { readonly statusMsg?: string }
}

/** Serves other processes while this one holds the role. */
export function servePresence(server: RpcServer, owner: PresenceOwner): void {
  const mustHold = (): void => {
    if (!owner.isHolder) throw new RpcRefusal('not_owner')
  }
  server.handle(SIGNAL, ({ signals }) => {
    mustHold()
    owner.signal(signals)
    return Promise.resolve(null)
  })
  server.handle(SET_REMOTE, async ({ states }) => {
    mustHold()
    await owner.setRemote(states.map(({ userId, state }) => ({ userId, state: { ...state, statusMsg: state.statusMsg } })))
    return null
  })
  server.handle(SET_PRESENCE, async (change) => {
    mustHold()
    await owner.set(change)
    return null
  })
}

/** Tells the owner of the stream `presence`, wherever it is. */
export class RoutedPresenceSink implements PresenceSink {
  readonly #deps: {
    readonly owner: PresenceOwner
    readonly rpc: RpcCaller
    readonly background: Background
    holder(): string | undefined
  }
  /** By user and device; the newest signal, but never a mere `alive` in place of a state. */
  #waiting = new Map<string, PresenceSignal>()
  #timer: NodeJS.Timeout | undefined

  constructor(deps: { owner: PresenceOwner; rpc: RpcCaller; background: Background; holder(): string | undefined }) {
    this.#deps = deps
  }

  signal(signals: readonly PresenceSignal[]): void {
    if (this.#deps.owner.isHolder) {
      this.#deps.owner.signal(signals)
      return
    }
    for (const signal of signals) {
      const key = `${signal.kind === 'active' ? 'active' : ''} ${signal.userId} ${signal.device}`
      if (signal.kind === 'alive' && this.#waiting.has(key)) continue
      if (this.#waiting.size < WAITING_MAX) this.#waiting.set(key, signal)
    }
    this.#timer ??= setTimeout(() => this.#send(), GATHER_MS).unref()
  }

  #send(): void {
    this.#timer = undefined
    const { rpc, holder, background } = this.#deps
    const signals = [...this.#waiting.values()]
    this.#waiting = new Map()
    background.run('presence: tell the owner', async () => {
      // A signal that is lost comes again with the device's next sync.
      await rpc.call(SIGNAL, holder(), { signals }, { pickTarget: holder }).catch(ignoreFailedCall)
    })
  }

  async set(change: PresenceChange): Promise<void> {
    const { owner, rpc, holder } = this.#deps
    if (owner.isHolder) return owner.set(change)
    await rpc.call(SET_PRESENCE, holder(), change, { pickTarget: holder })
  }

  async setRemote(states: readonly RemotePresence[]): Promise<void> {
    const { owner, rpc, holder } = this.#deps
    if (owner.isHolder) return owner.setRemote(states)
    const wire = states.map(({ userId, state: { statusMsg, ...rest } }) => ({
      userId,
      state: statusMsg === undefined ? rest : { ...rest, statusMsg },
    }))
    await rpc.call(SET_REMOTE, holder(), { states: wire }, { pickTarget: holder })
  }

  /** Stops the timer. */
  close(): void {
    clearTimeout(this.#timer)
  }
}
