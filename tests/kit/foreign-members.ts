import { parseRoomId, parseServerName } from '../../src/protocol/ids.ts'
import { parseSigningKeys } from '../../src/protocol/signing-key.ts'
import type { EventIntent } from '../../src/services/events/event-intent.ts'
import { EventPersister } from '../../src/services/events/event-persister.ts'
import { EventReader } from '../../src/services/events/event-reader.ts'
import { readEventsStream } from '../../src/services/events/event-stream-reader.ts'
import { NidAllocator } from '../../src/services/events/nid-allocator.ts'
import { RoomModels } from '../../src/services/events/room-models.ts'
import { PushActionEvaluator } from '../../src/services/push/push-action-evaluator.ts'
import { PushRules } from '../../src/services/push/push-rules.ts'
import { Database } from '../../src/storage/database.ts'
import { LaneCommitter } from '../../src/streams/lane-committer.ts'
import { StreamHub } from '../../src/streams/stream-hub.ts'
import { systemClock } from '../../src/util/clock.ts'
import { systemRandom } from '../../src/util/random.ts'
import { baseConfig } from './base-config.ts'
import type { TestServer } from './test-server.ts'

/** Appends events to a room whoever their sender is, past all services. Returns the event ids. */
export function appendPastServices(
  server: TestServer,
  roomId: string,
  intents: readonly EventIntent[],
): Promise<readonly string[]> {
  return withPersister(server, async (persister) => {
    const events = await persister.append({ roomId: parseRoomId(roomId), intents })
    return events.map((event) => event.eventId)
  })
}

/**
 * Writes to the server's rooms as another process would, while the server is down; it is up again afterwards. So users of other
 * servers, and their events, get into rooms without the handshakes between servers.
 */
export async function withPersister<T>(server: TestServer, work: (persister: EventPersister) => Promise<T>): Promise<T> {
  await server.stop()
  const database = new Database({ ...server.databaseOptions, max: 4 }, { onError: () => {} })
  const hub = new StreamHub({ onError: () => {} })
  readEventsStream(hub, database)
  const committer = new LaneCommitter({ database, hub, stream: 'push_rules' })
  const pushRules = new PushRules({ database, hub, committer, options: { hasLegacyMentions: true } })
  const [signingKey] = parseSigningKeys(String(baseConfig()['signing_key']))
  if (!signingKey) throw new Error('The test configuration has no signing key')
  const persister = new EventPersister({
    database,
    hub,
    models: new RoomModels({ database }),
    events: new EventReader({ database, hub }),
    nids: new NidAllocator({ database }),
    pushActions: new PushActionEvaluator({ pushRules, hub }),
    clock: systemClock,
    random: systemRandom,
    serverName: parseServerName(server.serverName),
    signingKey,
  })
  const result = await work(persister)
  await persister.drain()
  hub.close()
  await database.close()
  await server.startAgain()
  return result
}

/** Intents of a user of another server to join. */
export function foreignJoin(userId: string): EventIntent {
  return { type: 'm.room.member', sender: userId as never, stateKey: userId, content: { membership: 'join' } }
}
