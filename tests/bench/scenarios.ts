import { randomBytes } from 'node:crypto'
import type { BenchUser } from './bench-client.ts'
import { inboundEvents, outboundEvents, remoteJoins } from './federation-scenarios.ts'
import { inBatches, pickUser, registerMany, roomOf, timed } from './steps.ts'
import type { Bench } from './steps.ts'
import { parkedClients, seenLatency } from './sync-scenarios.ts'

/** All scenarios by name, in the order of the report. */
export const SCENARIOS: Readonly<Record<string, (bench: Bench) => Promise<void>>> = {
  register: async (bench) => {
    await timed(bench, { scenario: 'register', concurrency: 4, operation: async () => void (await bench.client.register()) })
  },
  login,
  createRoom: async (bench) => {
    const users = await registerMany(bench, 4)
    await timed(bench, {
      scenario: 'createRoom',
      concurrency: 4,
      operation: async (index) =>
        void (await bench.client.createRoom(pickUser(users, index), { preset: 'private_chat', name: 'a room' })),
    })
  },
  join: joinStorm,
  sendOneRoom: (bench) => sends(bench, { scenario: 'send, 1 room of 10', rooms: 1 }),
  sendManyRooms: (bench) => sends(bench, { scenario: 'send, 10 rooms of 10', rooms: 10 }),
  seen: seenLatency,
  wakeUp: parkedClients,
  initialSync,
  messages,
  toDevice,
  keys,
  media,
  inbound: inboundEvents,
  outbound: outboundEvents,
  remoteJoin: remoteJoins,
}

async function login(bench: Bench): Promise<void> {
  const users = await registerMany(bench, 10)
  await timed(bench, {
    scenario: 'login',
    concurrency: 4,
    async operation(index) {
      const user = pickUser(users, index)
      const body = { type: 'm.login.password', identifier: { type: 'm.id.user', user: user.userId }, password: user.password }
      await bench.client.call(undefined, 'POST', '/_matrix/client/v3/login', body)
    },
  })
}

async function joinStorm(bench: Bench): Promise<void> {
  const users = await registerMany(bench, 80)
  const rooms: string[] = []
  const roomCount = 5 * Math.ceil(bench.seconds)
  for (let index = 0; index < roomCount; index += 1) rooms.push(await bench.client.createRoom(pickUser(users, 0)))
  const joins = rooms.flatMap((roomId) => users.slice(1).map((user) => ({ roomId, user })))
  await timed(bench, {
    scenario: 'join, 80 users into one room',
    concurrency: 8,
    operationsMax: joins.length,
    async operation(index) {
      const join = joins[index]
      if (join !== undefined) await bench.client.join(join.user, join.roomId)
    },
  })
}

async function sends(bench: Bench, options: { scenario: string; rooms: number }): Promise<void> {
  const users = await registerMany(bench, 10)
  const rooms: string[] = []
  for (let index = 0; index < options.rooms; index += 1) rooms.push(await roomOf(bench, users))
  for (const concurrency of bench.concurrencies) {
    await timed(bench, {
      scenario: options.scenario,
      concurrency,
      operation: async (index) => void (await bench.client.send(pickUser(users, index), rooms[index % rooms.length] ?? '')),
    })
  }
}

async function initialSync(bench: Bench): Promise<void> {
  const users = await registerMany(bench, 5)
  await inBatches(100, async () => {
    const roomId = await roomOf(bench, users)
    for (let count = 0; count < 3; count += 1) await bench.client.send(pickUser(users, count), roomId)
  })
  await timed(bench, {
    scenario: 'initial sync, 100 rooms',
    concurrency: 2,
    operation: async (index) => void (await bench.client.sync(pickUser(users, index), undefined, 0)),
  })
}

async function messages(bench: Bench): Promise<void> {
  const users = await registerMany(bench, 5)
  const roomId = await roomOf(bench, users)
  await inBatches(1000, (index) => bench.client.send(pickUser(users, index), roomId))
  const tokens: (string | undefined)[] = []
  await timed(bench, {
    scenario: '/messages, page of 50',
    concurrency: 2,
    async operation(index) {
      const from = tokens[index % 2]
      const query = from === undefined ? '' : `&from=${encodeURIComponent(from)}`
      const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/messages?dir=b&limit=50${query}`
      tokens[index % 2] = (await bench.client.call<{ end?: string }>(pickUser(users, index), 'GET', path)).end
    },
  })
}

async function toDevice(bench: Bench): Promise<void> {
  const users = await registerMany(bench, 10)
  await timed(bench, {
    scenario: 'sendToDevice',
    concurrency: 8,
    async operation(index) {
      const target = pickUser(users, index + 1)
      const path = `/_matrix/client/v3/sendToDevice/org.example.bench/bench${bench.client.unique()}`
      const content = { algorithm: 'm.olm.v1.curve25519-aes-sha2', ciphertext: 'x'.repeat(400) }
      await bench.client.call(pickUser(users, index), 'PUT', path, {
        messages: { [target.userId]: { [target.deviceId]: content } },
      })
    },
  })
}

const KEYS_PER_UPLOAD = 50

async function keys(bench: Bench): Promise<void> {
  const users = await registerMany(bench, 20)
  await timed(bench, {
    scenario: `keys/upload, ${KEYS_PER_UPLOAD} one-time keys`,
    concurrency: 4,
    operationsMax: 400,
    async operation(index) {
      const user = pickUser(users, index)
      await bench.client.call(user, 'POST', '/_matrix/client/v3/keys/upload', oneTimeKeys(user))
    },
  })
  await timed(bench, {
    scenario: 'keys/claim',
    concurrency: 8,
    async operation(index) {
      const target = pickUser(users, index + 1)
      const body = { one_time_keys: { [target.userId]: { [target.deviceId]: 'signed_curve25519' } } }
      await bench.client.call(pickUser(users, index), 'POST', '/_matrix/client/v3/keys/claim', body)
    },
  })
}

function oneTimeKeys(user: BenchUser): Record<string, unknown> {
  const signature = randomBytes(64).toString('base64').replaceAll('=', '')
  const entries = Array.from({ length: KEYS_PER_UPLOAD }, () => {
    const key = randomBytes(32).toString('base64').replaceAll('=', '')
    const id = `signed_curve25519:${randomBytes(8).toString('hex')}`
    return [id, { key, signatures: { [user.userId]: { [`ed25519:${user.deviceId}`]: signature } } }]
  })
  return { one_time_keys: Object.fromEntries(entries) }
}

const MEDIA_BYTES = 100_000

async function media(bench: Bench): Promise<void> {
  const users = await registerMany(bench, 2)

  const content = randomBytes(MEDIA_BYTES)
  const uploaded: string[] = []
  await timed(bench, {
    scenario: 'media upload, 100 kB',
    concurrency: 4,
    async operation(index) {
      const path = '/_matrix/media/v3/upload?filename=a.bin'
      const answer = await bench.client.call<{ content_uri: string }>(pickUser(users, index), 'POST', path, content, {
        contentType: 'application/octet-stream',
      })
      uploaded.push(answer.content_uri.slice('mxc://'.length))
    },
  })
  await timed(bench, {
    scenario: 'media download, 100 kB',
    concurrency: 4,
    async operation(index) {
      await bench.client.call(
        pickUser(users, index),
        'GET',
        `/_matrix/client/v1/media/download/${uploaded[index % uploaded.length] ?? ''}`,
      )
    },
  })
}
