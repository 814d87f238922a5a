/** How a picture is brought to a size: `crop` fills it, `scale` fits into it. Spec: client-server-api § Thumbnails. */
export type ThumbnailMethod = 'crop' | 'scale'

export interface ThumbnailSize {
  readonly width: number
  readonly height: number
  readonly method: ThumbnailMethod
}

/**
 * Chooses which of the configured sizes answers a request: of the method asked for, where there is one, the smallest that is
 * at least as large as asked in both directions, or else the largest. Undefined where none is configured.
 */
export function chooseThumbnailSize(wanted: ThumbnailSize, sizes: readonly ThumbnailSize[]): ThumbnailSize | undefined {
  const sameMethod = sizes.filter((size) => size.method === wanted.method)
  const candidates = (sameMethod.length > 0 ? sameMethod : sizes).toSorted(
    (one, other) => one.width * one.height - other.width * other.height,
  )
  return candidates.find((size) => size.width >= wanted.width && size.height >= wanted.height) ?? candidates.at(-1)
}
