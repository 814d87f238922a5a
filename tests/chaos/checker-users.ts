import type { Run, Violation } from './checker.ts'
import type { AccountDataEntry, ReceiptEntry } from './history.ts'

/** How long a process may take a token after its logout was answered: a lost message is noticed after two seconds, by the heads. */
export const LOGOUT_TOLD_MS = 3000

/** C5: an acknowledged message to a device comes exactly once along its tokens, any other at most once. */
export function* checkWhispers({ history, chains }: Run): Generator<Violation> {
  const sent = new Map<string, { device: string; isAcknowledged: boolean }>()
  for (const entry of history) {
    if (entry.op !== 'whisper') continue
    const isAcknowledged = entry.result === 'ok' || sent.get(entry.key)?.isAcknowledged === true
    sent.set(entry.key, { device: entry.device, isAcknowledged })
  }
  for (const [device, { links }] of chains) {
    const seen = new Set<string>()
    for (const key of links.flatMap((link) => link.whispers)) {
      if (seen.has(key)) yield { rule: 'C5', kind: 'doubled', detail: `${device} got ${key} twice` }
      if (sent.get(key)?.device !== device)
        yield { rule: 'C5', kind: 'other', detail: `${device} got ${key}, which is not for it` }
      seen.add(key)
    }
    for (const [key, whisper] of sent)
      if (whisper.device === device && whisper.isAcknowledged && !seen.has(key))
        yield { rule: 'C5', kind: 'lost', detail: `${device} did not get ${key}` }
  }
}

/** C6: no one-time key is given out twice, and only what was uploaded. */
export function* checkKeys({ history }: Run): Generator<Violation> {
  const uploaded = new Set(history.flatMap((entry) => (entry.op === 'upload' ? entry.keyIds : [])))
  const claimed = new Set<string>()
  for (const entry of history) {
    if (entry.op !== 'claim' || entry.keyId === undefined) continue
    if (claimed.has(entry.keyId)) yield { rule: 'C6', kind: 'doubled', detail: `the key ${entry.keyId} was given out twice` }
    if (!uploaded.has(entry.keyId)) yield { rule: 'C6', kind: 'other', detail: `nobody uploaded the key ${entry.keyId}` }
    claimed.add(entry.keyId)
  }
}

/** C8: receipts never go back, the last answered one counts everywhere, and who has read everything has nothing unread. */
export function* checkReceipts({ history, chains, final, order }: Run): Generator<Violation> {
  const placeOf = (key: string, eventId: string): number => order.get(key.slice(key.indexOf(' ') + 1))?.get(eventId) ?? -1
  for (const [device, { links }] of chains) {
    const reached = new Map<string, number>()
    for (const { room, user, eventId } of links.flatMap((link) => link.receipts)) {
      const key = `${user} ${room}`
      const place = placeOf(key, eventId)
      if (place < (reached.get(key) ?? -1))
        yield { rule: 'C8', kind: 'order', detail: `${device} saw the receipt of ${key} go back` }
      reached.set(key, Math.max(place, reached.get(key) ?? -1))
    }
  }
  const written = history.filter((entry): entry is ReceiptEntry => entry.op === 'receipt' && entry.result === 'ok')
  for (const { name, receipts, unread } of final) {
    for (const [key, entries] of Map.groupBy(written, (entry) => entry.key)) {
      const newest = Math.max(...entries.map(({ eventId }) => placeOf(key, eventId)))
      if (placeOf(key, receipts[key] ?? '') < newest)
        yield { rule: 'C8', kind: 'lost', detail: `${name} has an older receipt of ${key} than was answered` }
    }
    for (const [room, count] of Object.entries(unread))
      if (count !== 0)
        yield { rule: 'C8', kind: 'other', detail: `${name} counts ${count} unread messages in ${room}, all of which were read` }
  }
}

/** C9: account data do not go back, and what was written last counts on every process. */
export function* checkAccountData({ history, chains, final }: Run): Generator<Violation> {
  const written = history.filter((entry): entry is AccountDataEntry => entry.op === 'account_data')
  // A write without an answer may come late, over newer ones: nobody can tell it from a new one.
  const late = new Set(written.flatMap(({ result, value }) => (result === 'unknown' ? [value] : [])))
  for (const [device, { links }] of chains) {
    let before = 0
    for (const { accountData: value } of links) {
      if (value === undefined) continue
      if (value < before && !late.has(value))
        yield { rule: 'C9', kind: 'order', detail: `${device} saw ${value} after ${before}` }
      before = Math.max(before, value)
    }
  }
  const last = written.reduce((last, { result, value }) => (result === 'ok' ? Math.max(last, value) : last), 0)
  for (const { name, accountData: value = 0 } of final)
    if (value !== last && !late.has(value))
      yield { rule: 'C9', kind: 'lost', detail: `${name} has ${value}, the last answered was ${last}` }
}

/** C13: an ended token is refused everywhere, at once: within `LOGOUT_TOLD_MS` while messages between processes get lost. */
export function* checkTokens({ history, final }: Run): Generator<Violation> {
  const endedAt = new Map<string, number>()
  for (const entry of history) if (entry.op === 'logout' && entry.result === 'ok') endedAt.set(entry.key, entry.end)
  for (const entry of history) {
    if (entry.op !== 'use' || entry.result !== 'ok') continue
    const lateMs = entry.t - (endedAt.get(entry.key) ?? Infinity)
    if (lateMs > LOGOUT_TOLD_MS)
      yield { rule: 'C13', kind: 'other', detail: `${entry.process} took a token ${lateMs} ms after its logout` }
  }
  for (const { name, living } of final)
    for (const token of living) yield { rule: 'C13', kind: 'other', detail: `at rest, ${name} takes the ended token ${token}` }
}
