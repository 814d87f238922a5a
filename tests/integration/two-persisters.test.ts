import { randomBytes } from 'node:crypto'
import { expect, inject, it } from 'vitest'
import { parseServerName, parseUserId } from '../../src/protocol/ids.ts'
import { generateSigningKey } from '../../src/protocol/signing-key.ts'
import { EventPersister } from '../../src/services/events/event-persister.ts'
import { EventReader } from '../../src/services/events/event-reader.ts'
import { readEventsStream } from '../../src/services/events/event-stream-reader.ts'
import { NidAllocator } from '../../src/services/events/nid-allocator.ts'
import { RoomModels } from '../../src/services/events/room-models.ts'
import { PushActionEvaluator } from '../../src/services/push/push-action-evaluator.ts'
import { PushRules } from '../../src/services/push/push-rules.ts'
import { Database } from '../../src/storage/database.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { LaneCommitter } from '../../src/streams/lane-committer.ts'
import { StreamHub } from '../../src/streams/stream-hub.ts'
import { systemClock } from '../../src/util/clock.ts'
import { systemRandom } from '../../src/util/random.ts'
import { createTestDatabase, dropTestDatabase } from '../kit/test-postgres.ts'

const SENDS_EACH = 40
const serverName = parseServerName('hs')
const signingKey = generateSigningKey(systemRandom)

/** An event persister with everything of a process of its own: caches, hub, connections. */
function startProcess(options: DatabaseOptions): { persister: EventPersister; stop(): Promise<void> } {
  const database = new Database({ ...options, max: 8 }, { onError: () => {} })
  const hub = new StreamHub({ onError: () => {} })
  readEventsStream(hub, database)
  const committer = new LaneCommitter({ database, hub, stream: 'push_rules' })
  const pushRules = new PushRules({ database, hub, committer, options: { hasLegacyMentions: true } })
  const persister = new EventPersister({
    database,
    hub,
    models: new RoomModels({ database }),
    events: new EventReader({ database, hub }),
    nids: new NidAllocator({ database }),
    pushActions: new PushActionEvaluator({ pushRules, hub }),
    clock: systemClock,
    random: systemRandom,
    serverName,
    signingKey,
  })
  return {
    persister,
    async stop() {
      await persister.drain()
      hub.close()
      await database.close()
    },
  }
}

it('I5: two processes that both think they own a room neither fork it nor lose what they acknowledged', async () => {
  const options = await createTestDatabase(inject('postgres'), `two_${randomBytes(6).toString('hex')}`)
  const processes = [startProcess(options), startProcess(options)]
  const reader = new Database(options, { onError: () => {} })
  try {
    const alice = parseUserId('@alice:hs')
    const { roomId } = await (processes[0] as (typeof processes)[0]).persister.createRoom({
      roomVersion: '11',
      intents: [
        { type: 'm.room.create', stateKey: '', sender: alice, content: { room_version: '11' } },
        { type: 'm.room.member', stateKey: alice, sender: alice, content: { membership: 'join' } },
      ],
    })
    const sent = await Promise.all(
      processes.flatMap(({ persister }, index) =>
        Array.from({ length: SENDS_EACH }, async (_unused, number) => {
          const [event] = await persister.append({
            roomId,
            intents: [{ type: 'm.room.message', sender: alice, content: { body: `${index}/${number}` } }],
          })
          return event?.eventId
        }),
      ),
    )
    const stored = await reader.query<{ event_id: string; prev: string[]; position: number; depth: number }>(
      'all_events',
      `SELECT event_id, position, depth, ARRAY(SELECT jsonb_array_elements_text(json::jsonb -> 'prev_events')) AS prev FROM events ORDER BY position`,
    )
    expect(stored.length).toBe(2 + 2 * SENDS_EACH)
    expect(new Set(stored.map((event) => event.event_id)).size).toBe(stored.length)
    for (const eventId of sent) expect(stored.some((event) => event.event_id === eventId)).toBe(true)
    // One line: every event follows the one before it, in the order of the stream.
    for (const [index, event] of stored.entries()) {
      expect(event.prev).toEqual(index === 0 ? [] : [stored[index - 1]?.event_id])
      expect(event.depth).toBe(index + 1)
    }
    const [head] = await reader.query<{ version: number; count: number }>(
      'room_version',
      'SELECT version, cardinality(extremities) AS count FROM room_head',
    )
    expect(head?.count).toBe(1)
  } finally {
    await Promise.all(processes.map((process) => process.stop()))
    await reader.close()
    await dropTestDatabase(options, options.database)
  }
})
