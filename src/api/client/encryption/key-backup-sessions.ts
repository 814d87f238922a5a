import { Readable } from 'node:stream'
import { OwnResponse, SerializedJson } from '../../../http/endpoint.ts'
import { MatrixError } from '../../../protocol/errors.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import { SESSIONS_PER_PAGE } from '../../../services/encryption/key-backups.ts'
import type { BackupSessionRow } from '../../../storage/tables/key-backups.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

/** The rest of key_backup.yaml: the keys in a backup. */

/** Clients upload some hundred keys at once, of about a kilobyte each. */
const BODY_BYTES_MAX = 8 * 1024 * 1024
const KEYS_PATH = '/_matrix/client/v3/room_keys/keys'
const UNSTABLE_KEYS_PATH = '/_matrix/client/unstable/room_keys/keys'
const query = Type.Object({ version: Type.String() })
const roomParams = Type.Object({ roomId: Type.String() })
const sessionParams = Type.Object({ roomId: Type.String(), sessionId: Type.String() })
const PARTS = { all: '', room: '/:roomId', session: '/:roomId/:sessionId' } as const

/** What the endpoints have in common: where they stand, who may ask, and that they name the version. */
function ofBackup(part: keyof typeof PARTS) {
  return {
    path: KEYS_PATH + PARTS[part],
    otherPaths: [UNSTABLE_KEYS_PATH + PARTS[part]],
    group: 'encryption',
    auth: 'user',
    query,
  } as const
}

/** Stores one key. Errors: M_NOT_FOUND, M_WRONG_ROOM_KEYS_VERSION, M_INVALID_PARAM. Spec: key_backup.yaml. */
export const putRoomKeyBySessionId = clientEndpoint({
  operationId: 'putRoomKeyBySessionId',
  method: 'PUT',
  ...ofBackup('session'),
  params: sessionParams,
  body: Type.Object({}),
  async handler({ params, query: { version }, body, requester }, ctx) {
    const rooms = { [params.roomId]: { sessions: Object.fromEntries([[params.sessionId, body as JsonObject]]) } }
    return ctx.keyBackups.putSessions({ userId: requester.userId, version }, rooms)
  },
})

/** Stores keys of one room. Errors: M_NOT_FOUND, M_WRONG_ROOM_KEYS_VERSION, M_INVALID_PARAM. Spec: key_backup.yaml. */
export const putRoomKeysByRoomId = clientEndpoint({
  operationId: 'putRoomKeysByRoomId',
  method: 'PUT',
  ...ofBackup('room'),
  bodyBytesMax: BODY_BYTES_MAX,
  params: roomParams,
  body: Type.Object({ sessions: Type.Object({}) }),
  async handler({ params, query: { version }, body, requester }, ctx) {
    return ctx.keyBackups.putSessions({ userId: requester.userId, version }, { [params.roomId]: body as JsonObject })
  },
})

/** Stores keys. Errors: M_NOT_FOUND, M_WRONG_ROOM_KEYS_VERSION, M_INVALID_PARAM. Spec: key_backup.yaml. */
export const putRoomKeys = clientEndpoint({
  operationId: 'putRoomKeys',
  method: 'PUT',
  ...ofBackup('all'),
  bodyBytesMax: BODY_BYTES_MAX,
  body: Type.Object({ rooms: Type.Object({}) }),
  async handler({ query: { version }, body, requester }, ctx) {
    return ctx.keyBackups.putSessions({ userId: requester.userId, version }, body.rooms as JsonObject)
  },
})

/** Returns one key. Errors: M_NOT_FOUND. Spec: key_backup.yaml. */
export const getRoomKeyBySessionId = clientEndpoint({
  operationId: 'getRoomKeyBySessionId',
  method: 'GET',
  ...ofBackup('session'),
  params: sessionParams,
  async handler({ params, query: { version }, requester }, ctx) {
    for await (const [row] of ctx.keyBackups.getSessions({ userId: requester.userId, version, ...params })) {
      if (row) return new SerializedJson(serializeSession(row))
    }
    throw new MatrixError('M_NOT_FOUND', 'Key not found.')
  },
})

/** Returns the keys of one room. Errors: M_NOT_FOUND. Spec: key_backup.yaml. */
export const getRoomKeysByRoomId = clientEndpoint({
  operationId: 'getRoomKeysByRoomId',
  method: 'GET',
  ...ofBackup('room'),
  params: roomParams,
  async handler({ params, query: { version }, requester }, ctx) {
    return streamJson(ctx.keyBackups.getSessions({ userId: requester.userId, version, roomId: params.roomId }), serializeRoom)
  },
})

/** Returns all keys of a backup. Errors: M_NOT_FOUND. Spec: key_backup.yaml. */
export const getRoomKeys = clientEndpoint({
  operationId: 'getRoomKeys',
  method: 'GET',
  ...ofBackup('all'),
  async handler({ query: { version }, requester }, ctx) {
    return streamJson(ctx.keyBackups.getSessions({ userId: requester.userId, version }), serializeRooms)
  },
})

/** Deletes one key. Idempotent. Errors: M_NOT_FOUND. Spec: key_backup.yaml. */
export const deleteRoomKeyBySessionId = clientEndpoint({
  operationId: 'deleteRoomKeyBySessionId',
  method: 'DELETE',
  ...ofBackup('session'),
  params: sessionParams,
  async handler({ params, query: { version }, requester }, ctx) {
    return ctx.keyBackups.deleteSessions({ userId: requester.userId, version, ...params })
  },
})

/** Deletes the keys of one room. Idempotent. Errors: M_NOT_FOUND. Spec: key_backup.yaml. */
export const deleteRoomKeysByRoomId = clientEndpoint({
  operationId: 'deleteRoomKeysByRoomId',
  method: 'DELETE',
  ...ofBackup('room'),
  params: roomParams,
  async handler({ params, query: { version }, requester }, ctx) {
    return ctx.keyBackups.deleteSessions({ userId: requester.userId, version, roomId: params.roomId })
  },
})

/** Deletes all keys of a backup. Idempotent. Errors: M_NOT_FOUND. Spec: key_backup.yaml. */
export const deleteRoomKeys = clientEndpoint({
  operationId: 'deleteRoomKeys',
  method: 'DELETE',
  ...ofBackup('all'),
  async handler({ query: { version }, requester }, ctx) {
    return ctx.keyBackups.deleteSessions({ userId: requester.userId, version })
  },
})

type Pages = AsyncGenerator<BackupSessionRow[], void>

/** A large backup has megabytes: beyond one page it is read while it is sent. */
async function streamJson(
  pages: Pages,
  serialize: (pages: AsyncIterable<BackupSessionRow[]>) => AsyncGenerator<string>,
): Promise<unknown> {
  // The first page tells whether there is a backup, before any status is sent.
  const first = (await pages.next()).value ?? []
  const chunks = serialize(prepend(first, pages))
  if (first.length < SESSIONS_PER_PAGE) return new SerializedJson(await join(chunks))
  return new OwnResponse({ status: 200, contentType: 'application/json', body: Readable.from(chunks, { objectMode: false }) })
}

async function join(chunks: AsyncIterable<string>): Promise<string> {
  let text = ''
  for await (const chunk of chunks) text += chunk
  return text
}

async function* prepend(first: BackupSessionRow[], rest: Pages): AsyncGenerator<BackupSessionRow[]> {
  yield first
  yield* rest
}

async function* serializeRoom(pages: AsyncIterable<BackupSessionRow[]>): AsyncGenerator<string> {
  let comma = ''
  yield '{"sessions":{'
  for await (const page of pages) {
    let chunk = ''
    for (const row of page) {
      chunk += `${comma}${JSON.stringify(row.sessionId)}:${serializeSession(row)}`
      comma = ','
    }
    yield chunk
  }
  yield '}}'
}

/** The rows come in order of rooms. */
async function* serializeRooms(pages: AsyncIterable<BackupSessionRow[]>): AsyncGenerator<string> {
  let room: string | undefined
  yield '{"rooms":{'
  for await (const page of pages) {
    let chunk = ''
    for (const row of page) {
      if (row.roomId === room) chunk += ','
      else chunk += `${room === undefined ? '' : '}},'}${JSON.stringify(row.roomId)}:{"sessions":{`
      room = row.roomId
      chunk += `${JSON.stringify(row.sessionId)}:${serializeSession(row)}`
    }
    yield chunk
  }
  yield room === undefined ? '}}' : '}}}}'
}

function serializeSession(row: BackupSessionRow): string {
  return (
    `{"first_message_index":${row.firstMessageIndex},"forwarded_count":${row.forwardedCount},` +
    `"is_verified":${row.isVerified},"session_data":${row.sessionData}}`
  )
}
