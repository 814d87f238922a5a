import { MatrixError } from '../../../protocol/errors.ts'
import { parseRoomAlias, parseRoomId } from '../../../protocol/ids.ts'
import type { RoomAlias, RoomId } from '../../../protocol/ids.ts'

/** Finds the room that a path names by id or alias. Throws M_NOT_FOUND, M_INVALID_PARAM. */
export async function resolveRoom(
  value: string,
  aliases: { getRoomId(alias: RoomAlias): Promise<RoomId | undefined> },
): Promise<RoomId> {
  if (!value.startsWith('#')) return parseRoomId(value)
  const alias = parseRoomAlias(value)
  const roomId = await aliases.getRoomId(alias)
  if (roomId === undefined) throw new MatrixError('M_NOT_FOUND', `Room alias ${alias} not found`)
  return roomId
}

/** The content of a member event that carries what the request gave of it. */
export function reasonContent(reason: string | undefined): { reason?: string } {
  return reason === undefined ? {} : { reason }
}
