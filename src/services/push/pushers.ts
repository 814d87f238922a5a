import { MatrixError } from '../../protocol/errors.ts'
import type { DeviceId, UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import type { Database, Queryable } from '../../storage/database.ts'
import {
  deletePushers,
  deletePushersOfUser,
  getPusherRowsSince,
  getPushersOfUser,
  getUsersOfPushkey,
  upsertPusher,
} from '../../storage/tables/pushers.ts'
import type { PusherRow } from '../../storage/tables/pushers.ts'
import type { LaneCommitter } from '../../streams/lane-committer.ts'
import type { StreamHub } from '../../streams/stream-hub.ts'
import type { Clock } from '../../util/clock.ts'

const PUSHERS_PER_USER_MAX = 100

/** A pusher as a client sets it, checked. */
export interface NewPusher {
  readonly appId: string
  readonly pushkey: string
  readonly kind: string
  readonly appDisplayName: string
  readonly deviceDisplayName: string
  readonly profileTag: string
  readonly lang: string
  readonly data: JsonObject
}

/** Keeps the pushers of users. Spec: client-server-api § Push Notifications. */
export class Pushers {
  readonly #database: Database
  readonly #committer: LaneCommitter<'pushers'>
  readonly #clock: Clock

  constructor(deps: { database: Database; hub: StreamHub; committer: LaneCommitter<'pushers'>; clock: Clock }) {
    this.#database = deps.database
    this.#committer = deps.committer
    this.#clock = deps.clock
    deps.hub.setReadSince('pushers', async (_lane, after, upTo) =>
      (await getPusherRowsSince(this.#database, { after, upTo })).map(({ position, userId }) => ({ position, row: { userId } })),
    )
  }

  /** The user's pushers, oldest first. */
  getOfUser(userId: UserId): Promise<PusherRow[]> {
    return getPushersOfUser(this.#database, userId)
  }

  /**
   * Adds or changes a pusher. Unless `isAppended`, other users lose theirs for the same app and key: the phone has a new
   * owner. Throws M_RESOURCE_LIMIT_EXCEEDED.
   */
  async set(
    owner: { userId: UserId; deviceId: DeviceId | undefined },
    pusher: NewPusher,
    { isAppended }: { isAppended: boolean },
  ): Promise<void> {
    const { userId } = owner
    const { appId, pushkey } = pusher
    const [users, own] = await Promise.all([getUsersOfPushkey(this.#database, pusher), this.getOfUser(userId)])
    if (own.length >= PUSHERS_PER_USER_MAX && !users.includes(userId)) {
      throw new MatrixError('M_RESOURCE_LIMIT_EXCEEDED', `At most ${PUSHERS_PER_USER_MAX} pushers are allowed`)
    }
    const others = isAppended ? [] : users.filter((other) => other !== userId)
    const { data, ...fields } = pusher
    const row = {
      ...fields,
      userId,
      dataJson: JSON.stringify(data),
      deviceId: owner.deviceId ?? null,
      createdTsMs: this.#clock.nowMs(),
    }
    await this.#commit([userId, ...others], (tx, index) =>
      Promise.all([
        ...(others.length === 0 ? [] : [deletePushers(tx, { appId, pushkey, userIds: others })]),
        upsertPusher(tx, index, row),
      ]),
    )
  }

  /** Removes the user's pusher for the app and key. Idempotent. */
  async delete(key: { userId: UserId; appId: string; pushkey: string }): Promise<void> {
    await this.#commit([key.userId], (tx) => deletePushers(tx, { ...key, userIds: [key.userId] }))
  }

  /** Removes all pushers of an account that is closed. Idempotent. */
  async deleteOfUser(userId: UserId): Promise<void> {
    await this.#commit([userId], (tx) => deletePushersOfUser(tx, userId))
  }

  async #commit(userIds: readonly string[], write: (tx: Queryable, index: number) => Promise<unknown>): Promise<void> {
    await this.#committer.commit({ count: userIds.length, write, rows: () => userIds.map((userId) => ({ userId })) })
  }
}
