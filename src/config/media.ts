import {
  choice,
  duration,
  flag,
  group,
  groupList,
  integer,
  optionalDuration,
  optionalSize,
  optionalText,
  optionalTextList,
  section,
  size,
  text,
  textList,
} from './option.ts'
import type { Values } from './option.ts'

const THUMBNAIL_TABLE = {
  width: integer('width', 0, 'Width in pixels.', { min: 1 }),
  height: integer('height', 0, 'Height in pixels.', { min: 1 }),
  method: choice('method', ['crop', 'scale'], 'scale', '`crop` fills the size, `scale` fits into it.'),
}
const THUMBNAIL_SIZES: readonly Values<typeof THUMBNAIL_TABLE>[] = [
  { width: 32, height: 32, method: 'crop' },
  { width: 96, height: 96, method: 'crop' },
  { width: 320, height: 240, method: 'scale' },
  { width: 640, height: 480, method: 'scale' },
  { width: 800, height: 600, method: 'scale' },
]

const PART_DOC = 'A glob, or a regular expression that begins with `^`.'
const URL_PATTERN_TABLE = {
  scheme: optionalText('scheme', PART_DOC),
  netloc: optionalText('netloc', PART_DOC),
  hostname: optionalText('hostname', PART_DOC),
  port: optionalText('port', PART_DOC),
  path: optionalText('path', PART_DOC),
  query: optionalText('query', PART_DOC),
  fragment: optionalText('fragment', PART_DOC),
  username: optionalText('username', PART_DOC),
  password: optionalText('password', PART_DOC),
}

/** Uploads, downloads, thumbnails. */
export const mediaOptions = section('Media', {
  enableMediaRepo: flag('enable_media_repo', true, 'Whether the main process serves media; false when a worker does.'),
  enableAuthenticatedMedia: flag('enable_authenticated_media', true, 'New media can only be fetched with an access token.'),
  enableLocalMediaStorage: flag('enable_local_media_storage', true, 'Keeps media on local disk.'),
  mediaStorePath: text('media_store_path', 'media_store', 'Folder of the media files.'),
  maxUploadSizeBytes: size('max_upload_size', '50M', 'Largest upload.'),
  maxImagePixels: size('max_image_pixels', '32M', 'Largest image, in pixels, that thumbnails are made of.'),
  maxPendingMediaUploads: integer('max_pending_media_uploads', 5, 'Media that a user may create and not yet upload.'),
  unusedExpirationTimeMs: duration('unused_expiration_time', '24h', 'How long created media wait for their upload.'),
  preventMediaDownloadsFrom: textList('prevent_media_downloads_from', [], 'Servers whose media are never fetched.'),
  dynamicThumbnails: flag('dynamic_thumbnails', false, 'Makes thumbnails of exactly the size asked for, when asked.'),
  thumbnailSizes: groupList(
    'thumbnail_sizes',
    THUMBNAIL_TABLE,
    'Thumbnails that are made of every image; 32x32 and 96x96 crop, 320x240, 640x480 and 800x600 scale by default.',
    THUMBNAIL_SIZES,
  ),
  mediaRetention: group(
    'media_retention',
    {
      localMediaLifetimeMs: optionalDuration(
        'local_media_lifetime',
        undefined,
        'Deletes our own media not accessed for this long.',
      ),
      remoteMediaLifetimeMs: optionalDuration(
        'remote_media_lifetime',
        undefined,
        "Deletes copies of other servers' media not accessed for this long.",
      ),
    },
    'Deleting old media.',
  ),
  mediaUploadLimits: groupList(
    'media_upload_limits',
    {
      timePeriodMs: duration('time_period', '0s', 'Length of the period.'),
      maxSizeBytes: size('max_size', '0', 'Bytes that a user may upload in the period.'),
    },
    'How much a user may upload in a period of time.',
  ),
  maxAvatarSizeBytes: optionalSize('max_avatar_size', 'Largest avatar.'),
  allowedAvatarMimetypes: optionalTextList('allowed_avatar_mimetypes', 'Content types of avatars; without it all.'),
  urlPreviewEnabled: flag('url_preview_enabled', false, 'Fetches web pages for link previews.'),
  urlPreviewIpRangeBlacklist: optionalTextList('url_preview_ip_range_blacklist', 'Networks that previews never connect to.'),
  urlPreviewIpRangeWhitelist: textList('url_preview_ip_range_whitelist', [], 'Exceptions to it.'),
  urlPreviewUrlBlacklist: groupList(
    'url_preview_url_blacklist',
    URL_PATTERN_TABLE,
    'URLs that are never previewed: those that match every part of one of the mappings.',
  ),
  urlPreviewAcceptLanguage: textList('url_preview_accept_language', ['en'], 'Languages that previews ask for.'),
  maxSpiderSizeBytes: size('max_spider_size', '10M', 'Largest page that a preview reads.'),
  backupMediaStorePath: optionalText('backup_media_store_path', 'A second folder that all media are copied to.'),
  oembed: group(
    'oembed',
    {
      disableDefaultProviders: flag('disable_default_providers', false, 'Asks none of the sites that are built in.'),
      additionalProviders: textList('additional_providers', [], 'Files with lists of further sites, as oembed.com has them.'),
    },
    'Sites that describe their pages by oEmbed.',
  ),
})
export type MediaConfig = Values<typeof mediaOptions.options>
