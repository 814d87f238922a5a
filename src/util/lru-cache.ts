import { LRUCache } from 'lru-cache'

/** What an entry costs besides what it holds: the places in the map and the lists, the headers of key and value. */
const ENTRY_BYTES = 150

/**
 * Makes a cache of at most `entriesMax` entries, the least recently used going first. It takes memory for what it holds;
 * `new LRUCache({ max })` takes 24 bytes for each entry that there may ever be, at once.
 */
export function cacheOfEntries<K extends {}, V extends {}>(
  entriesMax: number,
  options: { readonly onRemoved?: LRUCache.Disposer<K, V> } = {},
): LRUCache<K, V> {
  return new LRUCache<K, V>({
    maxSize: entriesMax,
    sizeCalculation: one,
    ...(options.onRemoved && { dispose: options.onRemoved }),
  })
}

/** Makes a cache of at most `bytesMax`, as `bytesOf` estimates them. What is larger than a quarter of it is not kept. */
export function cacheOfBytes<K extends {}, V extends {}>(
  bytesMax: number,
  bytesOf: (value: V, key: K) => number,
): LRUCache<K, V> {
  return new LRUCache<K, V>({
    maxSize: Math.ceil(bytesMax),
    maxEntrySize: Math.ceil(bytesMax / 4),
    sizeCalculation: (value, key) => ENTRY_BYTES + bytesOf(value, key),
  })
}

function one(): number {
  return 1
}
