import { MatrixError } from '../../protocol/errors.ts'
import type { DeviceId, UserId } from '../../protocol/ids.ts'
import type { JsonObject } from '../../protocol/json.ts'
import { parseEmail } from '../../protocol/third-party-ids.ts'
import type { Database, Queryable } from '../../storage/database.ts'
import { getPusherByUnsubscribeToken } from '../../storage/tables/email-pushers.ts'
import {
  deleteEmailPushers,
  deletePushers,
  deletePushersOfUser,
  getPusherRowsSince,
  getPushersOfUser,
  getUsersOfPushkey,
  upsertPusher,
} from '../../storage/tables/pushers.ts'
import type { PusherRow } from '../../storage/tables/pushers.ts'
import { getUserIdByThreepid } from '../../storage/tables/users.ts'
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
  readonly #sendsMails: boolean

  /** `sendsMails`: option `email.enable_notifs`. */
  constructor(deps: {
    database: Database
    hub: StreamHub
    committer: LaneCommitter<'pushers'>
    clock: Clock
    sendsMails: boolean
  }) {
    this.#database = deps.database
    this.#committer = deps.committer
    this.#clock = deps.clock
    this.#sendsMails = deps.sendsMails
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
   * owner. Throws M_RESOURCE_LIMIT_EXCEEDED; M_INVALID_PARAM and M_THREEPID_NOT_FOUND for mails.
   */
  async set(
    owner: { userId: UserId; deviceId: DeviceId | undefined },
    pusher: NewPusher,
    { isAppended }: { isAppended: boolean },
  ): Promise<void> {
    const { userId } = owner
    const { appId, pushkey } = pusher
    if (pusher.kind === 'email') await this.#checkAddress(userId, pushkey)
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

  /** Mails go to addresses that the user has proven. */
  async #checkAddress(userId: UserId, pushkey: string): Promise<void> {
    if (!this.#sendsMails) throw new MatrixError('M_INVALID_PARAM', 'This server sends no mails about messages')
    const address = parseEmail(pushkey)
    if (address !== pushkey || (await getUserIdByThreepid(this.#database, { medium: 'email', address })) !== userId)
      throw new MatrixError('M_THREEPID_NOT_FOUND', 'The account does not have this e-mail address')
  }

  /** Stops the mails to an address that an account has lost. Idempotent. */
  async deleteOfAddress(userId: UserId, address: string): Promise<void> {
    await this.#commit([userId], (tx) => deleteEmailPushers(tx, userId, address))
  }

  /** Whose mails a link stops, and where they go; undefined where they have been stopped. */
  getByUnsubscribeToken(token: string): Promise<{ userId: UserId; appId: string; pushkey: string } | undefined> {
    return getPusherByUnsubscribeToken(this.#database, token)
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
