import { ClientEvent, createClient, EventType, MsgType, SyncState } from 'matrix-js-sdk'
import type { MatrixClient, MatrixEvent, Room } from 'matrix-js-sdk'
import { CryptoEvent, VerifierEvent } from 'matrix-js-sdk/lib/crypto-api/index.js'
import type { CryptoApi, ShowSasCallbacks, VerificationRequest, Verifier } from 'matrix-js-sdk/lib/crypto-api/index.js'
import { SlidingSync } from 'matrix-js-sdk/lib/sliding-sync.js'
import { expect } from 'vitest'
import type { TestClient } from '../kit/client.ts'
import { CheckedFetch } from './checked-fetch.ts'
import { eventually } from './eventually.ts'

const LONG_POLL_MS = 10_000
const SILENT = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, getChild: () => SILENT }

/** A device of a user that runs matrix-js-sdk with its Rust cryptography, as Element does. */
export class SdkDevice implements AsyncDisposable {
  readonly client: MatrixClient
  readonly crypto: CryptoApi
  readonly session: TestClient
  readonly #checkedFetch: CheckedFetch
  readonly #secrets: { recoveryKey?: Uint8Array<ArrayBuffer> }
  readonly #requests: VerificationRequest[] = []

  private constructor(parts: {
    client: MatrixClient
    crypto: CryptoApi
    session: TestClient
    checkedFetch: CheckedFetch
    secrets: { recoveryKey?: Uint8Array<ArrayBuffer> }
  }) {
    this.client = parts.client
    this.crypto = parts.crypto
    this.session = parts.session
    this.#checkedFetch = parts.checkedFetch
    this.#secrets = parts.secrets
    this.client.on(CryptoEvent.VerificationRequestReceived, (request) => this.#requests.push(request))
  }

  /**
   * Starts the client of a session and waits for its first sync. `isChecked` false: what the server answers is not what is tested.
   * `isSliding`: on sliding sync (MSC4186) instead of /sync.
   */
  static async open(
    server: { readonly baseUrl: string },
    session: TestClient,
    { isChecked = true, isSliding = false }: { readonly isChecked?: boolean; readonly isSliding?: boolean } = {},
  ): Promise<SdkDevice> {
    const checkedFetch = new CheckedFetch({ isChecked })
    const secrets: { recoveryKey?: Uint8Array<ArrayBuffer> } = {}
    const client = createClient({
      baseUrl: server.baseUrl,
      userId: session.userId,
      deviceId: session.deviceId,
      accessToken: session.accessToken ?? '',
      fetchFn: checkedFetch.fetch as typeof globalThis.fetch,
      logger: SILENT,
      cryptoCallbacks: {
        getSecretStorageKey: ({ keys }) => {
          const [keyId] = Object.keys(keys)
          return Promise.resolve(keyId === undefined || secrets.recoveryKey === undefined ? null : [keyId, secrets.recoveryKey])
        },
      },
    })
    await client.initRustCrypto({ useIndexedDB: false })
    const crypto = client.getCrypto()
    if (crypto === undefined) throw new Error('matrix-js-sdk started without cryptography')
    const device = new SdkDevice({ client, crypto, session, checkedFetch, secrets })
    const syncOptions = isSliding ? { slidingSync: slidingSyncOf(client) } : {}
    await client.startClient({ initialSyncLimit: 50, threadSupport: true, ...syncOptions })
    await new Promise<void>((resolve) => {
      client.on(ClientEvent.Sync, (state) =>
        state === SyncState.Prepared || state === SyncState.Syncing ? resolve() : undefined,
      )
    })
    return device
  }

  get userId(): string {
    return this.session.userId
  }

  /** The key to secret storage, as the user types it in on a new device. */
  useRecoveryKey(key: Uint8Array<ArrayBuffer>): void {
    this.#secrets.recoveryKey = key
  }

  room(roomId: string): Promise<Room> {
    return eventually(`${this.userId} sees the room`, () => this.client.getRoom(roomId) ?? undefined)
  }

  /** The event once it has come and, if it is encrypted, could be read. */
  readableEvent(roomId: string, eventId: string): Promise<MatrixEvent> {
    return eventually(`${this.userId}/${this.session.deviceId} reads ${eventId}`, () => {
      const event = this.client.getRoom(roomId)?.findEventById(eventId)
      const isReadable = event !== undefined && event.getType() !== EventType.RoomMessageEncrypted && !event.isDecryptionFailure()
      return isReadable ? event : undefined
    })
  }

  async sendText(roomId: string, body: string): Promise<string> {
    return (await this.client.sendEvent(roomId, EventType.RoomMessage, { msgtype: MsgType.Text, body })).event_id
  }

  /** Makes the user's identity; answers with the password if the server asks for it. */
  async bootstrapCrossSigning(): Promise<void> {
    await this.crypto.bootstrapCrossSigning({
      authUploadDeviceSigningKeys: async (makeRequest) => {
        try {
          await makeRequest(null)
        } catch (error) {
          const { session } = (error as { data: { session?: string } }).data
          const identifier = { type: 'm.id.user', user: this.userId }
          await makeRequest({
            type: 'm.login.password',
            identifier,
            password: this.session.password,
            ...(session === undefined ? {} : { session }),
          })
        }
      },
    })
  }

  /** The next verification that somebody asked of this device. */
  incomingVerification(): Promise<VerificationRequest> {
    return eventually(`${this.userId}/${this.session.deviceId} is asked to verify`, () => this.#requests.shift())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.stopClient()
    expect(this.#checkedFetch.violations, `answers to ${this.userId}`).toEqual([])
  }
}

/** One list of all rooms, as clients have it that show few. */
function slidingSyncOf(client: MatrixClient): SlidingSync {
  const room = { timeline_limit: 20, required_state: [['*', '*']] }
  const lists = new Map([['all', { ...room, ranges: [[0, 99]] }]])
  return new SlidingSync(client.baseUrl, lists, room, client, LONG_POLL_MS)
}

/** Both sides compare emoji and agree. The asking side has sent its request already. */
export async function verifyByEmoji(asking: VerificationRequest, asked: VerificationRequest): Promise<void> {
  await asked.accept()
  await eventually('the other side is ready', () => asking.otherPartySupportsMethod('m.sas.v1') && asking.phase === 3)
  const first = await asking.startVerification('m.sas.v1')
  const second = await eventually('the verification starts', () => asked.verifier)
  const [firstSas, secondSas] = [shownSas(first), shownSas(second)]
  const done = Promise.all([first.verify(), second.verify()])
  // A failure while the emoji are awaited must not go unseen.
  const [mine, theirs] = await Promise.race([
    Promise.all([firstSas, secondSas]),
    done.then(() => Promise.reject(new Error('it ended before emoji were shown'))),
  ])
  expect(mine.sas.emoji).toEqual(theirs.sas.emoji)
  await Promise.all([mine.confirm(), theirs.confirm()])
  await done
}

function shownSas(verifier: Verifier): Promise<ShowSasCallbacks> {
  return new Promise((resolve) => verifier.on(VerifierEvent.ShowSas, resolve))
}
