import { setTimeout as sleep } from 'node:timers/promises'
import { pathOf } from './chaos-client.ts'
import type { Target } from './chaos-client.ts'
import type { Work } from './load-writers.ts'
import { WHISPER_TYPE } from './world.ts'
import type { Session, World } from './world.ts'

const ATTEMPTS_MAX = 5
const RETRY_MS = 150
const KEYS_PER_UPLOAD = 20
const CLAIMS_AT_ONCE = 3

/** Sends numbered messages to one device, and repeats what got no answer. */
export function whisperTo(device: { readonly name: string; readonly session: Session }, pauseMs: number): Work {
  return async ({ client, recorder, writer }, signal) => {
    for (let index = 0; !signal.aborted; index++) {
      const key = `${device.name}-${index}`
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        const target = client.pick()
        const t = recorder.now()
        const { result } = await client.send(target, 'PUT', pathOf('sendToDevice', WHISPER_TYPE, key), {
          token: writer.token,
          body: { messages: { [device.session.user]: { [device.session.device]: { key } } } },
        })
        recorder.add({ op: 'whisper', t, end: recorder.now(), process: target.name, key, result, device: device.name })
        if (result !== 'unknown') break
        await sleep(RETRY_MS)
      }
      await sleep(pauseMs)
    }
  }
}

/** Uploads one-time keys, each batch with new ids, and claims them on several processes at once. */
export function uploadAndClaim(pauseMs: number): Work {
  return async (world, signal) => {
    const { client, keeper, recorder } = world
    let left = 0
    for (let batch = 0; !signal.aborted;) {
      if (left < KEYS_PER_UPLOAD / 2) {
        const keyIds = Array.from({ length: KEYS_PER_UPLOAD }, (_, index) => `signed_curve25519:AAA${batch}x${index}`)
        batch++
        const target = client.pick()
        const t = recorder.now()
        const { result } = await client.send(target, 'POST', pathOf('keys', 'upload'), {
          token: keeper.token,
          body: { one_time_keys: Object.fromEntries(keyIds.map((id) => [id, oneTimeKey(keeper, id)])) },
        })
        recorder.add({ op: 'upload', t, end: recorder.now(), process: target.name, key: keeper.device, result, keyIds })
        if (result === 'ok') left += KEYS_PER_UPLOAD
      }
      const claims = Array.from({ length: CLAIMS_AT_ONCE }, () => claimOnce(world, client.pick()))
      left -= (await Promise.all(claims)).filter(Boolean).length
      await sleep(pauseMs)
    }
  }
}

function oneTimeKey(keeper: Session, id: string): Record<string, unknown> {
  const key = Buffer.from(id.padEnd(32, '.').slice(0, 32)).toString('base64').replace(/=+$/, '')
  return { key, signatures: { [keeper.user]: { [`ed25519:${keeper.device}`]: 'c2lnbmF0dXJl' } } }
}

async function claimOnce({ client, keeper, recorder, reader }: World, target: Target): Promise<boolean> {
  const t = recorder.now()
  const { result, body } = await client.send(target, 'POST', pathOf('keys', 'claim'), {
    token: reader.token,
    body: { one_time_keys: { [keeper.user]: { [keeper.device]: 'signed_curve25519' } } },
  })
  const users = body['one_time_keys'] as Record<string, Record<string, Record<string, unknown>>> | undefined
  const [keyId] = Object.keys(users?.[keeper.user]?.[keeper.device] ?? {})
  const entry = { t, end: recorder.now(), process: target.name, key: keeper.device, result }
  recorder.add({ op: 'claim', ...entry, ...(keyId === undefined ? {} : { keyId }) })
  return keyId !== undefined
}
