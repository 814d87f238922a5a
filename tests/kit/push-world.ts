import { randomBytes } from 'node:crypto'
import { inject } from 'vitest'
import { parseConfig } from '../../src/config/config.ts'
import { assembleCore } from '../../src/process/assemble-core.ts'
import type { Core } from '../../src/process/assemble-core.ts'
import { assemblePush } from '../../src/process/assemble-push.ts'
import type { PushServices } from '../../src/process/assemble-push.ts'
import { assembleRooms } from '../../src/process/assemble-rooms.ts'
import type { EventId, RoomId, UserId } from '../../src/protocol/ids.ts'
import type { JsonObject } from '../../src/protocol/json.ts'
import type { EventsWriter } from '../../src/services/events/event-intent.ts'
import { UnreadCounts } from '../../src/services/push/unread-counts.ts'
import { AccountData } from '../../src/services/user-data/account-data.ts'
import type { DatabaseOptions } from '../../src/storage/database.ts'
import { getLaneHeads } from '../../src/storage/tables/streams.ts'
import type { StreamName } from '../../src/streams/streams.ts'
import { createTestDatabase, dropTestDatabase } from './test-postgres.ts'
import { TestLogger } from './test-logger.ts'
import { baseConfig } from './base-config.ts'

/** Rooms, receipts and push on a database of their own, without HTTP. */
export class PushWorld implements AsyncDisposable {
  readonly core: Core
  readonly push: PushServices
  readonly accountData: AccountData
  readonly writer: EventsWriter
  readonly #databaseOptions: DatabaseOptions
  readonly #drop: () => Promise<void>

  private constructor(core: Core, databaseOptions: DatabaseOptions, drop: () => Promise<void>) {
    this.#databaseOptions = databaseOptions
    this.core = core
    this.accountData = new AccountData({ database: core.database, hub: core.hub, committer: core.committer('account_data') })
    this.push = assemblePush(core, { markers: this.accountData })
    this.writer = assembleRooms(core, { pushActions: this.push.pushActions }).writer
    this.accountData.start()
    this.push.start()
    this.#drop = drop
  }

  static async start(): Promise<PushWorld> {
    const databaseOptions = await createTestDatabase(inject('postgres'), `push_${randomBytes(6).toString('hex')}`)
    return PushWorld.#open(databaseOptions, () => dropTestDatabase(databaseOptions, databaseOptions.database))
  }

  static async #open(databaseOptions: DatabaseOptions, drop: () => Promise<void>): Promise<PushWorld> {
    const core = assembleCore({ config: parseConfig(baseConfig()), logger: new TestLogger(), databaseOptions })
    for (const { name, lane, head } of await getLaneHeads(core.database)) core.hub.setHead(name as StreamName, lane, head)
    return new PushWorld(core, databaseOptions, drop)
  }

  /** The same data, read by objects that remember nothing: as after a restart. */
  again(): Promise<PushWorld> {
    return PushWorld.#open(this.#databaseOptions, () => Promise.resolve())
  }

  userId(localpart: string): UserId {
    return `@${localpart}:${this.core.serverName}` as UserId
  }

  /** Counts from the database alone. */
  coldCounts(): UnreadCounts {
    return new UnreadCounts({ database: this.core.database, hub: this.core.hub, pushRules: this.push.pushRules })
  }

  async createRoom(creator: UserId): Promise<RoomId> {
    const { roomId } = await this.writer.createRoom({
      roomVersion: '11',
      intents: [
        { type: 'm.room.create', sender: creator, stateKey: '', content: {} },
        { type: 'm.room.member', sender: creator, stateKey: creator, content: { membership: 'join' } },
        {
          type: 'm.room.power_levels',
          sender: creator,
          stateKey: '',
          content: { users: { [creator]: 100 }, state_default: 50, events_default: 0 },
        },
        { type: 'm.room.join_rules', sender: creator, stateKey: '', content: { join_rule: 'public' } },
      ],
    })
    return roomId
  }

  async send(roomId: RoomId, sender: UserId, type: string, content: JsonObject, stateKey?: string): Promise<EventId> {
    const [event] = await this.writer.append({ roomId, intents: [{ type, sender, content, stateKey }] })
    if (!event) throw new Error('append answers for each intent')
    return event.eventId
  }

  async setMembership(roomId: RoomId, userId: UserId, membership: 'join' | 'leave', displayName?: string): Promise<EventId> {
    return this.send(
      roomId,
      userId,
      'm.room.member',
      { membership, ...(displayName === undefined ? {} : { displayname: displayName }) },
      userId,
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.core.hub.close()
    await this.core.database.close()
    await this.#drop()
  }
}
