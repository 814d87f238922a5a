import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../../protocol/json.ts'
import type { RoomId, ServerName } from '../../../protocol/ids.ts'
import type { SharedCache } from '../../../replication/shared-cache.ts'
import type { Clock } from '../../../util/clock.ts'
import { cacheOfEntries } from '../../../util/lru-cache.ts'
import type { FederationRequester } from '../federation-client.ts'
import { FederationRequestError } from '../federation-errors.ts'

const TIMEOUT_MS = 10_000
const BYTES_MAX = 5 * 1024 * 1024
const SERVERS_TRIED_MAX = 3
const ANSWERS_MAX = 1000
/** Behaviour of Synapse. */
const ANSWER_KEPT_MS = 300_000

/** Where processes keep answers for each other. */
type SharedAnswers = Pick<SharedCache, 'get' | 'set'>

/** A room as another server describes it, and the rooms right below it that it knows. */
export interface RemoteLevel {
  readonly room: JsonObject
  readonly children: ReadonlyMap<RoomId, JsonObject>
}

/** Asks other servers for rooms of spaces that nobody here is in. Spec: server-server-api § Spaces. */
export class RemoteSpaces {
  readonly #client: FederationRequester
  readonly #clock: Clock
  readonly #serverName: ServerName
  readonly #shared: SharedAnswers
  readonly #answers = cacheOfEntries<string, { readonly untilMs: number; readonly answer: Promise<RemoteLevel | undefined> }>(
    ANSWERS_MAX,
  )

  constructor(deps: { client: FederationRequester; clock: Clock; serverName: ServerName; shared: SharedAnswers }) {
    this.#client = deps.client
    this.#clock = deps.clock
    this.#serverName = deps.serverName
    this.#shared = deps.shared
  }

  /** Asks the first server that answers; undefined where none does, or none shows the room. An answer is good for five minutes. */
  getLevel(
    roomId: RoomId,
    options: { readonly via: readonly ServerName[]; readonly isSuggestedOnly: boolean },
  ): Promise<RemoteLevel | undefined> {
    const key = `${options.isSuggestedOnly ? 's' : 'a'}${roomId}`
    const nowMs = this.#clock.monotonicMs()
    const known = this.#answers.get(key)
    if (known && known.untilMs > nowMs) return known.answer
    const servers = options.via.filter((server) => server !== this.#serverName).slice(0, SERVERS_TRIED_MAX)
    const answer = this.#find(key, roomId, servers)
    this.#answers.set(key, { untilMs: nowMs + ANSWER_KEPT_MS, answer })
    // What could not be had may be had the next time.
    answer.then(
      (level) => level ?? this.#answers.delete(key),
      () => this.#answers.delete(key),
    )
    return answer
  }

  /** Looks whether another process has just asked, else asks. */
  async #find(key: string, roomId: RoomId, servers: readonly ServerName[]): Promise<RemoteLevel | undefined> {
    const known = readLevel(roomId, parseShared(await this.#shared.get(`space:${key}`)))
    if (known) return known
    const level = await this.#ask(roomId, servers, key.startsWith('s'))
    if (level)
      this.#shared.set(
        `space:${key}`,
        JSON.stringify({ room: level.room, children: [...level.children.values()] }),
        ANSWER_KEPT_MS,
      )
    return level
  }

  async #ask(roomId: RoomId, servers: readonly ServerName[], isSuggestedOnly: boolean): Promise<RemoteLevel | undefined> {
    for (const destination of servers) {
      try {
        const path = `/_matrix/federation/v1/hierarchy/${encodeURIComponent(roomId)}?suggested_only=${isSuggestedOnly}`
        const limits = { timeoutMs: TIMEOUT_MS, bytesMax: BYTES_MAX, retries: 'none' } as const
        const level = readLevel(roomId, await this.#client.request({ destination, method: 'GET', path, ...limits }))
        if (level) return level
      } catch (error) {
        if (!(error instanceof FederationRequestError)) throw error
      }
    }
    return undefined
  }
}

/** What another process has kept; anything but an answer of ours is as good as nothing. */
function parseShared(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function readLevel(roomId: RoomId, answer: unknown): RemoteLevel | undefined {
  if (!isJsonObject(answer)) return undefined
  const { room, children } = answer
  if (!isJsonObject(room) || room['room_id'] !== roomId || !Array.isArray(children)) return undefined
  const rooms = (children as readonly JsonValue[]).filter(isJsonObject)
  return { room, children: new Map(rooms.map((child) => [child['room_id'] as RoomId, child])) }
}
