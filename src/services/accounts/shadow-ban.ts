import type { EventId } from '../../protocol/ids.ts'
import type { Random } from '../../util/random.ts'

const LETTERS = 43

/** What a user is answered whose messages nobody gets: an id like any other. As Synapse's shadow-banning. */
export function unseenEventId(random: Random): EventId {
  return `$${random.letters(LETTERS)}` as EventId
}
