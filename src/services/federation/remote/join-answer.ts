import { isJsonObject } from '../../../protocol/json.ts'
import type { JsonObject, JsonValue } from '../../../protocol/json.ts'
import { MatrixError } from '../../../protocol/errors.ts'
import type { ServerName } from '../../../protocol/ids.ts'
import { parseStrictJson } from '../../../protocol/strict-json.ts'
import type { BuiltEvent } from '../../../protocol/events/event-builder.ts'
import { OutgoingRequestError } from '../../../http/outgoing-errors.ts'
import type { FederationClient, FederationStream } from '../federation-client.ts'
import { JsonElements, JsonElementsError } from './json-elements.ts'
import { isUnknownEndpoint } from './membership-handshake.ts'
import type { Asking } from './membership-handshake.ts'
import { BadAnswerError } from './try-servers.ts'

/** The other server works out the state of a large room, and sends all of it. */
const JOIN_TIMEOUT_MS = 180_000
const JOIN_BYTES_MAX = 512 * 1024 * 1024
/** State events and auth chain together. */
const JOIN_EVENTS_MAX = 500_000

/** What a server answers to a join: the room as it was before. */
export interface JoinAnswer {
  readonly state: readonly JsonValue[]
  readonly authChain: readonly JsonValue[]
  /** The join with the signature of whoever authorised it. */
  readonly event: JsonObject | undefined
}

/**
 * Sends a join to the server that prepared it, by the old endpoint too where it does not know the new one, and reads its answer piece by
 * piece. Throws FederationRequestError, BadAnswerError. Spec: server-server-api joins-v2.yaml, joins-v1.yaml.
 */
export async function sendJoin(
  client: FederationClient,
  server: ServerName,
  join: BuiltEvent,
  asking: Asking,
): Promise<JoinAnswer> {
  const put = (version: 'v1' | 'v2'): Promise<FederationStream> =>
    client.requestStream({
      destination: server,
      method: 'PUT',
      path: `/_matrix/federation/${version}/send_join/${encodeURIComponent(join.event.roomId)}/${encodeURIComponent(join.event.eventId)}`,
      body: JSON.parse(join.json) as JsonObject,
      timeoutMs: JOIN_TIMEOUT_MS,
      bytesMax: JOIN_BYTES_MAX,
      ...asking,
    })
  try {
    return await readAnswer(server, await put('v2'), 'v2')
  } catch (error) {
    if (!isUnknownEndpoint(error)) throw error
    return readAnswer(server, await put('v1'), 'v1')
  }
}

async function readAnswer(server: ServerName, stream: FederationStream, version: 'v1' | 'v2'): Promise<JoinAnswer> {
  const elements = new JsonElements(['state', 'auth_chain'], { isWrapped: version === 'v1' })
  const lists: Record<string, JsonValue[]> = { state: [], auth_chain: [] }
  let count = 0
  try {
    for await (const chunk of stream.body as AsyncIterable<Buffer>) {
      for (const { list, bytes } of elements.push(chunk)) {
        if (++count > JOIN_EVENTS_MAX) throw new BadAnswerError(server, `answered with more than ${JOIN_EVENTS_MAX} events`)
        lists[list]?.push(parseStrictJson(bytes))
      }
    }
    const rest = parseStrictJson(elements.end())
    const answer = version === 'v1' && Array.isArray(rest) ? (rest[1] as JsonValue) : rest
    if (!isJsonObject(answer)) throw new BadAnswerError(server, 'answered the join with something else')
    // Nobody asked for a part of the state only.
    if (answer['members_omitted'] === true) throw new BadAnswerError(server, 'left members out of the state')
    const { event } = answer
    return { state: lists['state'] ?? [], authChain: lists['auth_chain'] ?? [], event: isJsonObject(event) ? event : undefined }
  } catch (error) {
    stream.body.destroy()
    if (error instanceof MatrixError || error instanceof JsonElementsError || error instanceof OutgoingRequestError)
      throw new BadAnswerError(server, `the answer to the join cannot be used: ${error.message}`, { cause: error })
    throw error
  }
}
