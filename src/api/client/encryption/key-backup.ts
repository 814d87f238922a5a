import { invalidParam } from '../../../protocol/errors.ts'
import type { JsonObject } from '../../../protocol/json.ts'
import type { KeyBackupRow } from '../../../storage/tables/key-backups.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../client-endpoint.ts'

const VERSION_PATH = '/_matrix/client/v3/room_keys/version'
const UNSTABLE_VERSION_PATH = '/_matrix/client/unstable/room_keys/version'
const versionParams = Type.Object({ version: Type.String() })
const backupInfo = { algorithm: Type.String(), auth_data: Type.Object({}) }

/** Makes a new backup, which becomes the current one. Errors: M_INVALID_PARAM, M_TOO_LARGE. Spec: key_backup.yaml. */
export const postRoomKeysVersion = clientEndpoint({
  operationId: 'postRoomKeysVersion',
  method: 'POST',
  path: VERSION_PATH,
  otherPaths: [UNSTABLE_VERSION_PATH],
  group: 'encryption',
  auth: 'user',
  body: Type.Object(backupInfo),
  async handler({ body, requester }, ctx) {
    return {
      version: await ctx.keyBackups.create(requester.userId, {
        algorithm: body.algorithm,
        authData: body.auth_data as JsonObject,
      }),
    }
  },
})

/** Describes the current backup. Errors: M_NOT_FOUND. Spec: key_backup.yaml. */
export const getRoomKeysVersionCurrent = clientEndpoint({
  operationId: 'getRoomKeysVersionCurrent',
  method: 'GET',
  path: VERSION_PATH,
  otherPaths: [UNSTABLE_VERSION_PATH],
  group: 'encryption',
  auth: 'user',
  async handler({ requester }, ctx) {
    return describe(await ctx.keyBackups.get(requester.userId, undefined))
  },
})

/** Describes a backup. Errors: M_NOT_FOUND. Spec: key_backup.yaml. */
export const getRoomKeysVersion = clientEndpoint({
  operationId: 'getRoomKeysVersion',
  method: 'GET',
  path: `${VERSION_PATH}/:version`,
  otherPaths: [`${UNSTABLE_VERSION_PATH}/:version`],
  group: 'encryption',
  auth: 'user',
  params: versionParams,
  async handler({ params, requester }, ctx) {
    return describe(await ctx.keyBackups.get(requester.userId, params.version))
  },
})

/** Replaces a backup's auth data. Errors: M_NOT_FOUND, M_INVALID_PARAM. Spec: key_backup.yaml. */
export const putRoomKeysVersion = clientEndpoint({
  operationId: 'putRoomKeysVersion',
  method: 'PUT',
  path: `${VERSION_PATH}/:version`,
  otherPaths: [`${UNSTABLE_VERSION_PATH}/:version`],
  group: 'encryption',
  auth: 'user',
  params: versionParams,
  body: Type.Object({ ...backupInfo, version: Type.Optional(Type.String()) }),
  async handler({ params, body, requester }, ctx) {
    if (body.version !== undefined && body.version !== params.version) throw invalidParam('Version in body does not match')
    await ctx.keyBackups.update(requester.userId, params.version, {
      algorithm: body.algorithm,
      authData: body.auth_data as JsonObject,
    })
    return {}
  },
})

/** Deletes a backup with its keys. Idempotent. Errors: M_NOT_FOUND. Spec: key_backup.yaml. */
export const deleteRoomKeysVersion = clientEndpoint({
  operationId: 'deleteRoomKeysVersion',
  method: 'DELETE',
  path: `${VERSION_PATH}/:version`,
  otherPaths: [`${UNSTABLE_VERSION_PATH}/:version`],
  group: 'encryption',
  auth: 'user',
  params: versionParams,
  async handler({ params, requester }, ctx) {
    await ctx.keyBackups.delete(requester.userId, params.version)
    return {}
  },
})

function describe(row: KeyBackupRow): JsonObject {
  return {
    algorithm: row.algorithm,
    auth_data: JSON.parse(row.authData),
    count: row.sessionCount,
    etag: String(row.etag),
    version: String(row.version),
  }
}
