import { MatrixError } from '../../../protocol/errors.ts'
import { isRoomId } from '../../../protocol/ids.ts'
import type { RoomId, ServerName } from '../../../protocol/ids.ts'
import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonValue } from '../../../protocol/json.ts'
import type { Database } from '../../../storage/database.ts'
import { findTransaction, insertStagedEvents, insertTransaction } from '../../../storage/tables/federation-staging.ts'
import type { StagedEvent } from '../../../storage/tables/federation-staging.ts'
import type { Background } from '../../../util/background.ts'
import type { Clock } from '../../../util/clock.ts'
import type { Logger } from '../../../util/logger.ts'
import type { RoomServers } from '../room-servers.ts'
import type { EduReceiver } from './edu-receiver.ts'
import type { OutsideEvents } from './outside-events.ts'
import type { PduReader, PduReading } from './pdu-reader.ts'
import type { RoomVersions } from './room-versions.ts'

/** Staged events of one server, before it has to wait. */
const STAGED_PER_ORIGIN_MAX = 20_000
const RETRY_AFTER_MS = 10_000

/** What another server sends at once. */
export interface IncomingTransaction {
  readonly origin: ServerName
  readonly txnId: string
  readonly pdus: readonly JsonValue[]
  readonly edus: readonly JsonValue[]
}

type PduResults = Record<string, { readonly error?: string }>

/** What taking transactions needs. */
export interface TransactionReceiverDeps {
  readonly database: Database
  readonly reader: PduReader
  readonly edus: EduReceiver
  readonly outside: OutsideEvents
  readonly roomServers: RoomServers
  readonly roomVersions: RoomVersions
  readonly wake: (roomIds: readonly RoomId[]) => Promise<void>
  readonly background: Background
  readonly clock: Clock
  readonly logger: Logger
  readonly serverName: ServerName
}

/**
 * Takes transactions of other servers: checks their events, stages them for their rooms' owners and applies their EDUs, all of which
 * is durable before the answer. One that comes again, wherever, gets the same answer and has no effect.
 * Spec: server-server-api § Transactions. Promise P10.
 */
export class TransactionReceiver {
  readonly #deps: TransactionReceiverDeps
  readonly #underWay = new Map<string, Promise<string>>()

  constructor(deps: TransactionReceiverDeps) {
    this.#deps = deps
  }

  /** Returns the JSON text to answer. Throws M_LIMIT_EXCEEDED where too much of this server waits already. */
  receive(transaction: IncomingTransaction): Promise<string> {
    const key = `${transaction.origin} ${transaction.txnId}`
    const underWay = this.#underWay.get(key)
    if (underWay) return underWay
    const receiving = this.#receive(transaction).finally(() => this.#underWay.delete(key))
    this.#underWay.set(key, receiving)
    return receiving
  }

  async #receive({ origin, txnId, pdus, edus }: IncomingTransaction): Promise<string> {
    const { database, clock, wake, background } = this.#deps
    const { response: earlier, stagedCount } = await findTransaction(database, {
      origin,
      txnId,
      stagedMax: STAGED_PER_ORIGIN_MAX,
    })
    if (earlier !== null) return earlier
    if (stagedCount >= STAGED_PER_ORIGIN_MAX) {
      const extra = { retry_after_ms: RETRY_AFTER_MS }
      throw new MatrixError('M_LIMIT_EXCEEDED', 'Too many of your events wait here', { extra })
    }
    const [{ results, staged }] = await Promise.all([this.#readPdus(origin, pdus), this.#deps.edus.receive(origin, edus)])
    const response = JSON.stringify({ pdus: results })
    const receivedTsMs = clock.nowMs()
    const answer = await database.transaction('stage_transaction', async (tx) => {
      const [kept] = await Promise.all([
        insertTransaction(tx, { origin, txnId, receivedTsMs, response }),
        staged.length === 0 ? undefined : insertStagedEvents(tx, staged, receivedTsMs),
      ])
      return kept
    })
    const roomIds = [...new Set(staged.map((event) => event.roomId))]
    if (roomIds.length > 0) background.run('tell rooms of staged events', () => wake(roomIds))
    return answer
  }

  async #readPdus(
    origin: ServerName,
    pdus: readonly JsonValue[],
  ): Promise<{ results: PduResults; staged: readonly StagedEvent[] }> {
    const results: PduResults = {}
    const staged: StagedEvent[] = []
    const byRoom = Map.groupBy(pdus, roomIdOf)
    for (const [roomId, ofRoom] of byRoom) {
      const roomVersion = roomId === undefined ? undefined : await this.#deps.roomVersions.get(roomId)
      // Without the room's version not even the event's id is known.
      if (roomId === undefined || !roomVersion) continue
      const refusal = await this.#refusalOf(origin, roomId)
      for (const reading of await this.#deps.reader.read(ofRoom, roomVersion, { roomId })) {
        const eventId = reading.kind === 'read' ? reading.pdu.event.eventId : reading.eventId
        const error = refusal ?? (reading.kind === 'refused' ? reading.reason : undefined)
        if (eventId !== undefined && !Object.hasOwn(results, eventId)) results[eventId] = error === undefined ? {} : { error }
        if (reading.kind === 'refused')
          this.#deps.logger.info('an event is refused', { origin, room: roomId, event: eventId, error })
        else if (error === undefined && (await this.#isWanted(roomId, reading)))
          staged.push({ roomId, eventId: reading.pdu.event.eventId, origin, json: reading.pdu.json })
      }
    }
    return { results, staged }
  }

  async #refusalOf(origin: ServerName, roomId: RoomId): Promise<string | undefined> {
    try {
      await this.#deps.roomServers.assertAllowedByAcl(origin, roomId)
      return undefined
    } catch (error) {
      if (error instanceof MatrixError) return error.message
      throw error
    }
  }

  /** Of a room that none of our users is in, only what ends their invites and knocks. */
  async #isWanted(roomId: RoomId, reading: PduReading & { kind: 'read' }): Promise<boolean> {
    const { roomServers, serverName, outside } = this.#deps
    return (await roomServers.isInRoom(serverName, roomId)) || outside.concerns(reading.pdu)
  }
}

function roomIdOf(pdu: JsonValue): RoomId | undefined {
  const roomId = isJsonObject(pdu) ? pdu['room_id'] : undefined
  return isRoomId(roomId) ? roomId : undefined
}
