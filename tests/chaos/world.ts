import type { SeededRandom } from '../fuzz/seeded-random.ts'
import { pathOf } from './chaos-client.ts'
import type { ChaosAnswer, ChaosClient, Target } from './chaos-client.ts'
import type { Recorder } from './history.ts'

/** A user's session. */
export interface Session {
  readonly user: string
  readonly localpart: string
  readonly device: string
  readonly token: string
}

/** What all parts of the load share. */
export interface World {
  readonly client: ChaosClient
  readonly recorder: Recorder
  readonly random: SeededRandom
  /** Rooms that are written to; `writer`, `reader` and `keeper` are in all of them, always. */
  readonly rooms: readonly string[]
  readonly writer: Session
  readonly reader: Session
  /** Has the devices whose keys are claimed. */
  readonly keeper: Session
  /** Come and go. */
  readonly visitors: readonly Session[]
}

/** The type of the account data that is written again and again. */
export const ACCOUNT_DATA_TYPE = 'org.example.chaos'
export const WHISPER_TYPE = 'org.example.whisper'

/** Makes accounts and rooms, before any fault. Throws when something is refused. */
export async function createWorld(
  parts: Pick<World, 'client' | 'recorder' | 'random'>,
  options: { readonly rooms: number; readonly visitors: number },
): Promise<World> {
  const { client } = parts
  const register = async (localpart: string): Promise<Session> => {
    const body = { username: localpart, password: passwordOf(localpart) }
    const asked = await client.send(client.proxy, 'POST', pathOf('register'), { body })
    const auth = { type: 'm.login.dummy', session: asked.body['session'] }
    return sessionOf(
      localpart,
      mustBeOk(await client.send(client.proxy, 'POST', pathOf('register'), { body: { ...body, auth } })),
    )
  }
  const writer = await register('writer')
  const reader = await register('reader')
  const keeper = await register('keeper')
  const visitors: Session[] = []
  for (let index = 0; index < options.visitors; index++) visitors.push(await register(`visitor${index}`))
  const rooms: string[] = []
  for (let index = 0; index < options.rooms; index++) {
    const body = { preset: 'public_chat', name: `Room ${index}` }
    const created = mustBeOk(await client.send(client.proxy, 'POST', pathOf('createRoom'), { token: writer.token, body }))
    const room = String(created['room_id'])
    rooms.push(room)
    for (const { token } of [reader, keeper])
      mustBeOk(await client.send(client.proxy, 'POST', pathOf('rooms', room, 'join'), { token, body: {} }))
  }
  return { ...parts, rooms, writer, reader, keeper, visitors }
}

/** Logs a user in on a new device; undefined when no answer told so. */
export async function logIn(world: World, target: Target, localpart: string): Promise<Session | undefined> {
  const body = { type: 'm.login.password', identifier: { type: 'm.id.user', user: localpart }, password: passwordOf(localpart) }
  const answer = await world.client.send(target, 'POST', pathOf('login'), { body })
  return answer.result === 'ok' ? sessionOf(localpart, answer.body) : undefined
}

function passwordOf(localpart: string): string {
  return `password of ${localpart}`
}

function sessionOf(localpart: string, body: Record<string, unknown>): Session {
  return { localpart, user: String(body['user_id']), device: String(body['device_id']), token: String(body['access_token']) }
}

function mustBeOk(answer: ChaosAnswer): Record<string, unknown> {
  if (answer.result !== 'ok') throw new Error(`The world could not be made: ${answer.status} ${JSON.stringify(answer.body)}`)
  return answer.body
}
