import { randomBytes } from 'node:crypto'
import { expect, inject, it } from 'vitest'
import { parseServerName, parseUserId } from '../../src/protocol/ids.ts'
import { generateSigningKey } from '../../src/protocol/signing-key.ts'
import { Database } from '../../src/storage/database.ts'
import { systemRandom } from '../../src/util/random.ts'
import { startEventProcess } from '../kit/event-process.ts'
import { createTestDatabase, dropTestDatabase } from '../kit/test-postgres.ts'

const SENDS_EACH = 40
const SERVER = { serverName: parseServerName('hs'), signingKey: generateSigningKey(systemRandom) }

it('I5: two processes that both think they own a room neither fork it nor lose what they acknowledged (ST-01, ST-13)', async () => {
  const options = await createTestDatabase(inject('postgres'), `two_${randomBytes(6).toString('hex')}`)
  const processes = [startEventProcess(options, SERVER), startEventProcess(options, SERVER)]
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
