import { setTimeout as sleep } from 'node:timers/promises'
import { pathOf } from './chaos-client.ts'
import type { Target } from './chaos-client.ts'
import { memberKey, receiptKey } from './history.ts'
import type { Result } from './history.ts'
import { ACCOUNT_DATA_TYPE, logIn } from './world.ts'
import type { Session, World } from './world.ts'

const ATTEMPTS_MAX = 4
const RETRY_MS = 150

/** Something that goes on until the signal ends it. */
export type Work = (world: World, signal: AbortSignal) => Promise<void>

/** Sends unique messages to one room, one after the other, and repeats what got no answer, elsewhere, with its transaction id. */
export function writeTo(room: string, pauseMs: number): Work {
  return async (world, signal) => {
    const { client, random } = world
    for (let index = 0; !signal.aborted; index++) {
      const key = `${world.rooms.indexOf(room)}-${index}`
      let target = client.pick()
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        const result = await sendOnce(world, target, { room, key })
        if (result === 'fail') break
        // Now and then a client has not seen the answer, and sends again.
        if (result === 'ok' && !random.chance(0.05)) break
        target = client.pick()
        if (result !== 'ok') await sleep(RETRY_MS)
      }
      await sleep(Math.round(pauseMs * (0.5 + random.next())))
    }
  }
}

async function sendOnce(world: World, target: Target, { room, key }: { room: string; key: string }): Promise<Result> {
  const { client, recorder, writer } = world
  const t = recorder.now()
  const body = `message ${key}`
  const content = { msgtype: 'm.text', body }
  const answer = await client.send(target, 'PUT', pathOf('rooms', room, 'send', 'm.room.message', key), {
    token: writer.token,
    body: content,
  })
  const eventId = answer.body['event_id']
  const { result } = answer
  recorder.add({
    op: 'send',
    t,
    end: recorder.now(),
    process: target.name,
    key,
    result,
    room,
    body,
    ...(typeof eventId === 'string' ? { eventId } : {}),
  })
  return result
}

/** Marks ever newer events of all rooms as read. */
export function markAsRead(pauseMs: number): Work {
  return async ({ client, random, recorder, reader, rooms }, signal) => {
    while (!signal.aborted) {
      const room = random.pick(rooms)
      const newest = recorder.entries.findLast((entry) => entry.op === 'send' && entry.room === room && entry.result === 'ok')
      if (newest?.op === 'send' && newest.eventId !== undefined) {
        const { eventId } = newest
        const target = client.pick()
        const t = recorder.now()
        const { result } = await client.send(target, 'POST', pathOf('rooms', room, 'receipt', 'm.read', eventId), {
          token: reader.token,
          body: {},
        })
        const key = receiptKey(reader.user, room)
        recorder.add({ op: 'receipt', t, end: recorder.now(), process: target.name, key, result, eventId })
      }
      await sleep(pauseMs)
    }
  }
}

/** Counts in the reader's account data; a number that got no answer is written again. */
export function countInAccountData(pauseMs: number): Work {
  return async ({ client, recorder, reader }, signal) => {
    let value = 1
    while (!signal.aborted) {
      const target = client.pick()
      const t = recorder.now()
      const { result } = await client.send(target, 'PUT', pathOf('user', reader.user, 'account_data', ACCOUNT_DATA_TYPE), {
        token: reader.token,
        body: { value },
      })
      recorder.add({ op: 'account_data', t, end: recorder.now(), process: target.name, key: reader.user, result, value })
      if (result === 'ok') value++
      await sleep(pauseMs)
    }
  }
}

/** Joins and leaves the rooms in turn. */
export function comeAndGo(visitor: Session, pauseMs: number): Work {
  return async ({ client, random, recorder, rooms }, signal) => {
    const joined = new Set<string>()
    while (!signal.aborted) {
      const room = random.pick(rooms)
      const membership = joined.has(room) ? 'leave' : 'join'
      const target = client.pick()
      const t = recorder.now()
      const { result } = await client.send(target, 'POST', pathOf('rooms', room, membership), { token: visitor.token, body: {} })
      const key = memberKey(room, visitor.user)
      recorder.add({ op: 'member', t, end: recorder.now(), process: target.name, key, result, membership })
      // After no answer the same is asked for again.
      if (result === 'ok') joined[membership === 'join' ? 'add' : 'delete'](room)
      await sleep(pauseMs)
    }
  }
}

/** Logs in, uses the token, logs out, and tries the token on every process. */
export function comeAndLogOut(localpart: string, pauseMs: number): Work {
  return async (world, signal) => {
    const { client, random, recorder } = world
    const use = async (session: Session, target: Target): Promise<void> => {
      const t = recorder.now()
      const { result } = await client.send(target, 'GET', pathOf('account', 'whoami'), { token: session.token })
      recorder.add({ op: 'use', t, end: recorder.now(), process: target.name, key: session.token, result })
    }
    while (!signal.aborted) {
      const session = await logIn(world, client.pick(), localpart)
      if (session !== undefined) {
        await Promise.all(client.direct.map((target) => use(session, target)))
        const target = random.pick(client.targets)
        const t = recorder.now()
        const { result } = await client.send(target, 'POST', pathOf('logout'), { token: session.token, body: {} })
        recorder.add({ op: 'logout', t, end: recorder.now(), process: target.name, key: session.token, result })
        if (result === 'ok') await Promise.all(client.direct.map((one) => use(session, one)))
      }
      await sleep(pauseMs)
    }
  }
}
