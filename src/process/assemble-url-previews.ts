import { resolve } from 'node:path'
import { IpRanges } from '../http/ip-ranges.ts'
import { OutgoingClient } from '../http/outgoing-client.ts'
import type { MediaRepository } from '../services/media/media-repository.ts'
import { OembedProviders } from '../services/media/previews/oembed.ts'
import { UrlBlocklist } from '../services/media/previews/url-blocklist.ts'
import { UrlPreviews } from '../services/media/previews/url-previews.ts'
import { WebReader } from '../services/media/previews/web-reader.ts'
import { readVersion } from '../util/version.ts'
import type { Core } from './assemble-core.ts'

/** Wires previews of web pages. Without a list of networks of their own they keep away from those of `ip_range_blacklist`. */
export function assembleUrlPreviews(core: Core, repository: MediaRepository): { readonly urlPreviews: UrlPreviews } {
  const { database, clock, config } = core
  const { media, server } = config
  const client = new OutgoingClient({
    ranges: new IpRanges({
      blacklist: media.urlPreviewIpRangeBlacklist ?? server.ipRangeBlacklist,
      whitelist: media.urlPreviewIpRangeWhitelist,
    }),
    // Many sites describe their pages only to those who say that they are a bot.
    userAgent: ['Ganglion/' + readVersion(), '(bot)', server.userAgentSuffix].filter((part) => part !== undefined).join(' '),
  })
  const web = new WebReader({
    client,
    blocklist: new UrlBlocklist(media.urlPreviewUrlBlacklist),
    clock,
    options: { bytesMax: media.maxSpiderSizeBytes, acceptLanguage: media.urlPreviewAcceptLanguage },
  })
  const oembed = new OembedProviders({
    isDefaultDisabled: media.oembed.disableDefaultProviders,
    files: media.oembed.additionalProviders.map((file) => resolve(config.directory, file)),
  })
  const urlPreviews = new UrlPreviews({
    database,
    web,
    repository,
    oembed,
    clock,
    logger: core.logger.child('previews'),
    isEnabled: media.urlPreviewEnabled,
  })
  return { urlPreviews }
}
