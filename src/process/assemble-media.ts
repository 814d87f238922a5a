import { resolve } from 'node:path'
import { ImageScaler } from '../services/media/image-scaler.ts'
import { MediaRepository } from '../services/media/media-repository.ts'
import { MediaStore } from '../services/media/media-store.ts'
import { Thumbnails } from '../services/media/thumbnails.ts'
import type { Core } from './assemble-core.ts'

/** Uploads, downloads, thumbnails. */
export interface MediaServices {
  readonly mediaRepository: MediaRepository
  readonly thumbnails: Thumbnails
  start(): Promise<void>
}

/** Wires the media repository. */
export function assembleMedia(core: Core): MediaServices {
  const { database, clock, random, background, rateLimiter, serverName } = core
  const { media, ratelimits, directory } = core.config
  const store = new MediaStore({ directory: resolve(directory, media.mediaStorePath), random })
  const mediaRepository = new MediaRepository({
    database,
    store,
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
    scaler: new ImageScaler({ pixelsMax: media.maxImagePixels }),
    options: { sizes: media.thumbnailSizes, isDynamic: media.dynamicThumbnails },
  })
  return {
    mediaRepository,
    thumbnails,
    start: () => store.removeStaleFiles(clock.nowMs()),
  }
}
