import { hash } from 'node:crypto'

/** How many parts the users with pushers are divided into: each is a lease. */
export const PUSHER_SHARDS = 16

/** The part that a user's pushers belong to. */
export function pusherShardOf(userId: string): number {
  return hash('sha256', userId, 'buffer').readUInt32BE() % PUSHER_SHARDS
}
