import { resolve } from 'node:path'
import { ImageScaler } from '../services/media/image-scaler.ts'
import type { MediaCare } from '../services/media/media-care.ts'
import { MediaRepository } from '../services/media/media-repository.ts'
import { MediaStore } from '../services/media/media-store.ts'
import { RemoteMedia } from '../services/media/remote-media.ts'
import type { UrlPreviews } from '../services/media/previews/url-previews.ts'
import { Thumbnails } from '../services/media/thumbnails.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'
import type { FederationServices } from './assemble-federation.ts'
import { assembleMediaCare } from './assemble-media-care.ts'
import { assembleUrlPreviews } from './assemble-url-previews.ts'

/** Uploads, downloads, thumbnails. */
export interface MediaServices {
  readonly mediaRepository: MediaRepository
  readonly thumbnails: Thumbnails
  readonly urlPreviews: UrlPreviews
  readonly mediaCare: MediaCare
  start(): Promise<void>
}

/** Wires the media repository. */
export function assembleMedia(
  core: Core,
  { federationClient, cluster }: Pick<FederationServices, 'federationClient'> & { readonly cluster: Cluster },
): MediaServices {
  const { database, clock, random, background, rateLimiter, serverName } = core
  const { media, ratelimits, directory } = core.config
  const store = new MediaStore({ directory: resolve(directory, media.mediaStorePath), random })
  const remoteMedia = new RemoteMedia({
    database,
    store,
    clock,
    random,
    background,
    client: federationClient,
    options: {
      bytesMax: media.maxUploadSizeBytes,
      isAuthenticationRequired: media.enableAuthenticatedMedia,
      refusedServers: new Set(media.preventMediaDownloadsFrom),
    },
  })
  const scaler = new ImageScaler({ pixelsMax: media.maxImagePixels })
  const mediaRepository = new MediaRepository({
    database,
    store,
    scaler,
    remoteMedia,
    clock,
    random,
    background,
    rateLimiter,
    options: {
      serverName,
      uploadBytesMax: media.maxUploadSizeBytes,
      pendingUploadsMax: media.maxPendingMediaUploads,
      unusedExpirationMs: media.unusedExpirationTimeMs,
      isAuthenticationRequired: media.enableAuthenticatedMedia,
      uploadLimits: media.mediaUploadLimits,
      avatarBytesMax: media.maxAvatarSizeBytes,
      avatarContentTypes: media.allowedAvatarMimetypes,
      createRateLimit: ratelimits.rcMediaCreate,
    },
  })
  const thumbnails = new Thumbnails({
    database,
    store,
    scaler,
    options: { sizes: media.thumbnailSizes, isDynamic: media.dynamicThumbnails },
  })
  return {
    mediaRepository,
    thumbnails,
    ...assembleUrlPreviews(core, mediaRepository),
    ...assembleMediaCare(core, { cluster, store }),
    start: () => store.removeStaleFiles(clock.nowMs()),
  }
}
