import { invalidParam } from '../../../protocol/errors.ts'
import { Type } from '../../../util/schema.ts'
import { clientEndpoint } from '../../client/client-endpoint.ts'

const MEDIA = '/_synapse/admin/v1/media'
const ADMIN = { resource: 'media', group: 'media_admin', auth: 'admin' } as const
/** Times before are most likely seconds. */
const EARLIEST_MS = 30_000_000_000
const time = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const named = Type.Object({ serverName: Type.String(), mediaId: Type.String() })
const local = Type.Object({ mediaId: Type.String() })

function checkTime(beforeTs: number): number {
  if (beforeTs < EARLIEST_MS) {
    throw invalidParam(
      'Query parameter before_ts you provided is from the year 1970. Double check that you are providing a timestamp in milliseconds.',
    )
  }
  return beforeTs
}

/** Describes a medium. Errors: M_FORBIDDEN, M_NOT_FOUND. As Synapse: docs/admin_api/media_admin_api.md. */
export const getMediaInfo = clientEndpoint({
  ...ADMIN,
  operationId: 'admin.getMediaInfo',
  method: 'GET',
  path: `${MEDIA}/:serverName/:mediaId`,
  params: named,
  async handler({ params: { serverName, mediaId } }, ctx) {
    const facts = await ctx.mediaCare.get({ origin: serverName, mediaId })
    const isOurs = 'userId' in facts
    return {
      media_info: {
        media_origin: isOurs ? null : serverName,
        user_id: isOurs ? facts.userId : null,
        media_id: mediaId,
        media_type: facts.contentType,
        media_length: facts.sizeBytes,
        upload_name: facts.uploadName,
        created_ts: facts.createdTsMs,
        filesystem_id: isOurs ? null : facts.fileId,
        url_cache: isOurs ? facts.urlCache : null,
        last_access_ts: facts.lastAccessTsMs,
        quarantined_by: facts.quarantinedBy,
        authenticated: facts.isAuthenticated,
        safe_from_quarantine: isOurs ? facts.isSafeFromQuarantine : null,
        sha256: facts.sha256,
      },
    }
  },
})

/** Deletes an upload. Errors: M_FORBIDDEN, M_NOT_FOUND, 400 M_UNKNOWN of other servers. As Synapse. */
export const deleteMedia = clientEndpoint({
  ...ADMIN,
  operationId: 'admin.deleteMedia',
  method: 'DELETE',
  path: `${MEDIA}/:serverName/:mediaId`,
  params: named,
  async handler({ params: { serverName, mediaId } }, ctx) {
    const deleted = await ctx.mediaCare.delete({ origin: serverName, mediaId })
    return { deleted_media: deleted, total: deleted.length }
  },
})

/** Deletes uploads by age and size. Errors: M_FORBIDDEN, M_MISSING_PARAM, M_INVALID_PARAM. As Synapse; the server's name in the old path means nothing. */
export const deleteMediaByDate = clientEndpoint({
  ...ADMIN,
  operationId: 'admin.deleteMediaByDateOrSize',
  method: 'POST',
  path: `${MEDIA}/delete`,
  otherPaths: [`${MEDIA}/:serverName/delete`],
  query: Type.Object({
    before_ts: time,
    size_gt: Type.Integer({ minimum: 0, default: 0 }),
    keep_profiles: Type.Boolean({ default: true }),
  }),
  async handler({ query, request }, ctx) {
    const deleted = await ctx.mediaCare.deleteOldLocal(
      {
        beforeMs: checkTime(query.before_ts),
        largerThanBytes: query.size_gt,
        keepsAvatars: query.keep_profiles,
        keepsJudged: false,
      },
      request.signal,
    )
    return { deleted_media: deleted, total: deleted.length }
  },
})

/** Deletes copies of other servers' media. Errors: M_FORBIDDEN, M_MISSING_PARAM, M_INVALID_PARAM. As Synapse. */
export const purgeMediaCache = clientEndpoint({
  ...ADMIN,
  operationId: 'admin.purgeMediaCache',
  method: 'POST',
  path: '/_synapse/admin/v1/purge_media_cache',
  query: Type.Object({ before_ts: time }),
  async handler({ query, request }, ctx) {
    return { deleted: await ctx.mediaCare.deleteOldRemote(checkTime(query.before_ts), request.signal) }
  },
})

/** Hides a medium from everybody. Errors: M_FORBIDDEN. As Synapse. */
export const quarantineMedia = clientEndpoint({
  ...ADMIN,
  operationId: 'admin.quarantineMedia',
  method: 'POST',
  path: `${MEDIA}/quarantine/:serverName/:mediaId`,
  params: named,
  async handler({ params: { serverName, mediaId }, requester }, ctx) {
    await ctx.mediaCare.quarantine([{ origin: serverName, mediaId }], requester.userId)
    return {}
  },
})

/** Shows it again. Errors: M_FORBIDDEN. As Synapse. */
export const unquarantineMedia = clientEndpoint({
  ...ADMIN,
  operationId: 'admin.unquarantineMedia',
  method: 'POST',
  path: `${MEDIA}/unquarantine/:serverName/:mediaId`,
  params: named,
  async handler({ params: { serverName, mediaId } }, ctx) {
    await ctx.mediaCare.quarantine([{ origin: serverName, mediaId }], null)
    return {}
  },
})

/** Protects an upload from quarantine. Errors: M_FORBIDDEN. As Synapse. */
export const protectMedia = clientEndpoint({
  ...ADMIN,
  operationId: 'admin.protectMedia',
  method: 'POST',
  path: `${MEDIA}/protect/:mediaId`,
  params: local,
  async handler({ params }, ctx) {
    await ctx.mediaCare.protect(params.mediaId, true)
    return {}
  },
})

/** Protects it no longer. Errors: M_FORBIDDEN. As Synapse. */
export const unprotectMedia = clientEndpoint({
  ...ADMIN,
  operationId: 'admin.unprotectMedia',
  method: 'POST',
  path: `${MEDIA}/unprotect/:mediaId`,
  params: local,
  async handler({ params }, ctx) {
    await ctx.mediaCare.protect(params.mediaId, false)
    return {}
  },
})

/** Lists what was hidden and shown again. Errors: M_FORBIDDEN, M_INVALID_PARAM. As Synapse. */
export const listQuarantineChanges = clientEndpoint({
  ...ADMIN,
  operationId: 'admin.listQuarantineChanges',
  method: 'GET',
  path: `${MEDIA}/quarantine_changes`,
  query: Type.Object({ from: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: 0 }) }),
  async handler({ query }, ctx) {
    const { changes, next } = await ctx.mediaCare.quarantineChanges(query.from)
    return {
      next_batch: next,
      changes: changes.map(({ origin, mediaId, isQuarantined }) => ({ origin, media_id: mediaId, quarantined: isQuarantined })),
    }
  },
})
