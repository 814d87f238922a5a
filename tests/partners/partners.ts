import { expect } from 'vitest'
import { eventually } from '../clients/eventually.ts'
import type { RegisterOptions, TestClient } from '../kit/client.ts'
import { roomPath } from '../kit/client.ts'
import { environmentNumber, environmentVariable } from '../kit/environment.ts'
import { TcpLink } from '../kit/synapse/tcp-link.ts'
import { TestSynapse } from '../kit/synapse/test-synapse.ts'
import type { ClientEvent } from '../kit/sync-response.ts'
import { TestServer } from '../kit/test-server.ts'

const WITHIN_MS = environmentNumber('TEST_PARTNERS_WITHIN_MS', 20_000)

/** One of two servers of a test. */
export interface Homeserver {
  readonly serverName: string
  readonly baseUrl: string
  anonymous(): TestClient
  register(localpart: string, options?: RegisterOptions): Promise<TestClient>
  stop(): Promise<void>
  startAgain(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Which of the two: scenarios run with the parts of host and guest dealt both ways. */
export type Side = 'ganglion' | 'synapse'

/** Both ways to deal the parts, for `describe.each`. */
export const BOTH_WAYS: readonly { readonly host: Side; readonly guest: Side }[] = [
  { host: 'ganglion', guest: 'synapse' },
  { host: 'synapse', guest: 'ganglion' },
]

/**
 * Our server and a Synapse, which reach each other by ways that can be cut. With TEST_PARTNERS=synapse another Synapse stands in
 * our place: a scenario that fails then asks for what nobody does.
 */
export class Partners implements AsyncDisposable {
  readonly ganglion: Homeserver
  readonly synapse: Homeserver
  readonly #links: readonly TcpLink[]

  private constructor(ganglion: Homeserver, synapse: Homeserver, links: readonly TcpLink[]) {
    this.ganglion = ganglion
    this.synapse = synapse
    this.#links = links
  }

  static async start(options: { readonly config?: Readonly<Record<string, unknown>> } = {}): Promise<Partners> {
    const [toGanglion, toSynapse] = [await TcpLink.open(), await TcpLink.open()]
    const [ganglion, synapse] = await Promise.all([startFirst(toGanglion, options.config), startSynapse(toSynapse)])
    return new Partners(ganglion, synapse, [toGanglion, toSynapse])
  }

  /** Neither server reaches the other from now on; clients reach both. */
  cut(): void {
    for (const link of this.#links) link.cut()
  }

  mend(): void {
    for (const link of this.#links) link.mend()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Without a way to each other they have nothing left to wait for.
    for (const link of this.#links) await link.close()
    await Promise.all([this.ganglion[Symbol.asyncDispose](), this.synapse[Symbol.asyncDispose]()])
  }
}

async function startFirst(link: TcpLink, config: Readonly<Record<string, unknown>> = {}): Promise<Homeserver> {
  if (environmentVariable('TEST_PARTNERS') === 'synapse') return startSynapse(link)
  const serverName = `localhost:${link.port}`
  const named = {
    server_name: serverName,
    public_baseurl: `https://${serverName}/`,
    allow_public_rooms_over_federation: true,
  }
  const server = await TestServer.start({ federation: true, config: { ...named, ...config } })
  link.targetPort = server.federationPort ?? 0
  return server
}

async function startSynapse(link: TcpLink): Promise<Homeserver> {
  const synapse = await TestSynapse.start({ serverName: `localhost:${link.port}` })
  link.targetPort = synapse.federationPort
  return synapse
}

/**
 * Joins a room by way of a server, and waits until all of its state is there: Synapse joins with a part of it, and a cut or a kick
 * before it has the rest leaves it waiting until it is started anew.
 */
export async function joinVia(client: TestClient, roomId: string, via: Homeserver, expected = 200): Promise<void> {
  const query = { server_name: via.serverName, via: via.serverName }
  await client.post(`/_matrix/client/v3/join/${encodeURIComponent(roomId)}`, {}, { query, expect: expected })
  if (expected === 200) await client.get(roomPath(roomId, 'state'))
}

/** The state that a server holds of a room: `type|state key` to event id. */
async function stateIdsOf(client: TestClient, roomId: string): Promise<Record<string, string>> {
  const events = await client.get<readonly ClientEvent[]>(roomPath(roomId, 'state'))
  const pairs = events.map((event) => [`${event.type}|${event.state_key ?? ''}`, event.event_id] as const)
  return Object.fromEntries(pairs.toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

/** Waits until two servers hold the same state of a room, event by event; shows the difference if they never do. */
export async function agreeOnState(roomId: string, one: TestClient, other: TestClient, withinMs = WITHIN_MS): Promise<void> {
  const deadline = performance.now() + withinMs
  for (;;) {
    const [left, right] = [await stateIdsOf(one, roomId), await stateIdsOf(other, roomId)]
    if (JSON.stringify(left) === JSON.stringify(right)) return
    if (performance.now() > deadline) expect(left, `the state of ${roomId} at both`).toEqual(right)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** The membership that a user's own server shows to `reader`; undefined where there is none. */
export async function membershipOf(reader: TestClient, roomId: string, userId: string): Promise<string | undefined> {
  const path = roomPath(roomId, 'state', 'm.room.member', userId)
  const { status, body } = await reader.exchange<{ membership?: string }>('GET', path, { expect: [200, 403, 404] })
  return status === 200 ? body.membership : undefined
}

/** Waits until `reader`, on its own server, sees the user's membership so. */
export async function seesMembership(reader: TestClient, roomId: string, userId: string, membership: string): Promise<void> {
  await eventually(
    `${reader.userId} sees ${userId} as ${membership}`,
    async () => {
      return (await membershipOf(reader, roomId, userId)) === membership
    },
    WITHIN_MS,
  )
}

/** Waits until an event can be read by `reader` on its own server, and returns it. */
export function seesEvent(reader: TestClient, roomId: string, eventId: string, withinMs = WITHIN_MS): Promise<ClientEvent> {
  return eventually(
    `${reader.userId} sees ${eventId}`,
    async () => {
      const path = roomPath(roomId, 'event', eventId)
      const { status, body } = await reader.exchange<ClientEvent>('GET', path, { expect: [200, 403, 404] })
      return status === 200 ? body : undefined
    },
    withinMs,
  )
}

/** Waits until the room stands in the given section of the user's /sync, and returns it. */
export function seesRoomAs<Section extends 'invite' | 'join' | 'knock' | 'leave'>(
  client: TestClient,
  roomId: string,
  section: Section,
): Promise<NonNullable<NonNullable<Awaited<ReturnType<TestClient['sync']>>['rooms']>[Section]>[string]> {
  return eventually(
    `${client.userId} has ${roomId} under ${section}`,
    async () => {
      const { rooms } = await client.sync({ filter: { room: { include_leave: true } } })
      return rooms?.[section]?.[roomId] as never
    },
    WITHIN_MS,
  )
}
