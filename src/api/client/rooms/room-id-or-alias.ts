import { MatrixError } from '../../../protocol/errors.ts'
import { parseRoomAlias, parseRoomId } from '../../../protocol/ids.ts'
import type { RoomId } from '../../../protocol/ids.ts'
import { Type } from '../../../util/schema.ts'
import type { ClientContext } from '../context.ts'

/** Where a request is told which servers know the room: the parameter of today, and the older one. Spec: joining.yaml. */
export const viaQuery = Type.Object({
  via: Type.Optional(Type.Array(Type.String(), { maxItems: 100 })),
  server_name: Type.Optional(Type.Array(Type.String(), { maxItems: 100 })),
})

/**
 * Finds the room that a path names by id or alias, of whichever server, and who is said to be in it. Throws M_NOT_FOUND,
 * M_INVALID_PARAM, 502 M_UNKNOWN.
 */
export async function resolveRoom(
  value: string,
  query: { readonly via?: readonly string[]; readonly server_name?: readonly string[] },
  ctx: Pick<ClientContext, 'roomAliases' | 'remoteAliases'>,
): Promise<{ readonly roomId: RoomId; readonly via: readonly string[] }> {
  const via = [...(query.via ?? []), ...(query.server_name ?? [])]
  if (!value.startsWith('#')) return { roomId: parseRoomId(value), via }
  const alias = parseRoomAlias(value)
  const roomId = await ctx.roomAliases.getRoomId(alias)
  if (roomId !== undefined) return { roomId, via }
  const found = await ctx.remoteAliases.find(alias)
  if (!found) throw new MatrixError('M_NOT_FOUND', `Room alias ${alias} not found`)
  return { roomId: found.roomId, via: [...found.servers, ...via] }
}

/** The content of a member event that carries what the request gave of it. */
export function reasonContent(reason: string | undefined): { reason?: string } {
  return reason === undefined ? {} : { reason }
}
