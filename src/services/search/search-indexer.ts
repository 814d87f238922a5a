import { isJsonObject } from '../../protocol/json.ts'
import type { Database } from '../../storage/database.ts'
import { advanceCursor, getCursor } from '../../storage/tables/consumer-cursors.ts'
import { deleteSearchDocuments, getSearchableEvents, insertSearchDocuments } from '../../storage/tables/event-search.ts'
import type { SearchableRow, SearchDocument } from '../../storage/tables/event-search.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import { STREAMS } from '../../streams/streams.ts'
import type { Background } from '../../util/background.ts'
import { makeDocument, normalizeText } from './search-terms.ts'

const CONSUMER = 'message_search'
const LANE = 0
const BATCH_EVENTS = 500
/** New texts are gathered this long, unless somebody searches. */
const GATHER_MS = 1000
const REDACTION = 'm.room.redaction'
/** Where an event of a type has its text. */
const KEYS: ReadonlyMap<string, string> = new Map([
  ['m.room.message', 'body'],
  ['m.room.name', 'name'],
  ['m.room.topic', 'topic'],
])
const TYPES = [...KEYS.keys(), REDACTION]
const TYPE_SET: ReadonlySet<string> = new Set(TYPES)

/**
 * Keeps the index of message search: follows the events stream from a cursor in the database, so that nothing is left out
 * after a restart, and at the first start catches up with all that is there. Encrypted messages cost it nothing.
 */
export class SearchIndexer {
  readonly #database: Database
  readonly #hub: StreamHub
  readonly #background: Background
  #position = 0
  #newestText = 0
  #running: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  /** Of the lease of the role; undefined while another process has it. */
  #epoch: number | undefined

  constructor(deps: { database: Database; hub: StreamHub; background: Background }) {
    this.#database = deps.database
    this.#hub = deps.hub
    this.#background = deps.background
    deps.hub.onRow('events', (row, position) => {
      if (TYPE_SET.has(row.type)) this.#note(position)
    })
    deps.hub.onReset('events', (head) => this.#note(head))
  }

  #note(position: number): void {
    if (this.#epoch === undefined) return
    this.#newestText = position
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#background.run('message search', () => this.catchUp())
    }, GATHER_MS)
  }

  /** Whether this process keeps the index. */
  get isHolder(): boolean {
    return this.#epoch !== undefined
  }

  /** Takes the role. Must run after the streams' heads were set. Does not wait for the index. */
  async start(epoch: number): Promise<void> {
    this.#epoch = epoch
    this.#position = await getCursor(this.#database, { consumer: CONSUMER, stream: STREAMS.events.number, lane: LANE })
    this.#newestText = this.#hub.head('events')
    this.#background.run('message search', () => this.catchUp())
  }

  /** Gives the role back. */
  stop(): void {
    this.#epoch = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** Settles when everything that was committed before this call can be found. */
  async catchUp(): Promise<void> {
    const goal = this.#newestText
    while (this.#position < goal && this.#epoch !== undefined) {
      this.#running ??= this.#indexBatch(this.#epoch).finally(() => (this.#running = undefined))
      await this.#running
    }
  }

  async #indexBatch(epoch: number): Promise<void> {
    const upTo = this.#hub.head('events')
    const rows = await getSearchableEvents(this.#database, {
      lane: LANE,
      after: this.#position,
      upTo,
      types: TYPES,
      limit: BATCH_EVENTS,
    })
    const position = rows.length < BATCH_EVENTS ? upTo : (rows.at(-1)?.position ?? upTo)
    const documents = rows.flatMap((row) => documentOf(row) ?? [])
    const redacted = rows.flatMap((row) => (row.type === REDACTION && row.redacts !== null ? [row.redacts] : []))
    await this.#database.transaction('index messages', async (tx) => {
      await insertSearchDocuments(tx, documents)
      await deleteSearchDocuments(tx, redacted)
      await advanceCursor(tx, {
        consumer: CONSUMER,
        stream: STREAMS.events.number,
        lane: LANE,
        pos: position,
        epoch,
      })
    })
    this.#position = position
  }
}

function documentOf(row: SearchableRow): SearchDocument | undefined {
  const key = KEYS.get(row.type)
  if (key === undefined || row.redactedBy !== null) return undefined
  const parsed: unknown = JSON.parse(row.json)
  const content = isJsonObject(parsed) ? parsed['content'] : undefined
  const text = isJsonObject(content) ? content[key] : undefined
  if (typeof text !== 'string' || text === '') return undefined
  const body = normalizeText(text)
  return { ...row, key: `content.${key}`, body, document: makeDocument(body) }
}
