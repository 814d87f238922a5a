const SECOND_MS = 1000
const DURATION_UNITS_MS: Readonly<Record<string, number>> = {
  s: SECOND_MS,
  m: 60 * SECOND_MS,
  h: 3600 * SECOND_MS,
  d: 86_400 * SECOND_MS,
  w: 7 * 86_400 * SECOND_MS,
  y: 365 * 86_400 * SECOND_MS,
}
const SIZE_UNITS: Readonly<Record<string, number>> = { K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 }

/** Reads a duration as Synapse does: a number is milliseconds, a text has the unit s, m, h, d, w or y. Undefined when it is none. */
export function parseDurationMs(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined
  if (typeof value !== 'string') return undefined
  const match = /^(-?\d+)([smhdwy]?)$/.exec(value.trim())
  if (!match) return undefined
  const durationMs = Number(match[1]) * (match[2] ? (DURATION_UNITS_MS[match[2]] ?? 1) : 1)
  return Number.isSafeInteger(durationMs) ? durationMs : undefined
}

/** Reads a size as Synapse does: a number is bytes, a text has the unit K, M, G or T (1024 each). Undefined when it is none. */
export function parseSizeBytes(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0 ? value : undefined
  if (typeof value !== 'string') return undefined
  const match = /^(\d+)(?:([KMGT])(?:i?B)?)?$/.exec(value.trim())
  if (!match) return undefined
  const sizeBytes = Number(match[1]) * (match[2] ? (SIZE_UNITS[match[2]] ?? 1) : 1)
  return Number.isSafeInteger(sizeBytes) ? sizeBytes : undefined
}
