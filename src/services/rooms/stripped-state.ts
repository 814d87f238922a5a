/** What someone outside sees of a room. Spec: client-server-api § Stripped state; Synapse's `room_prejoin_state`. */
const STRIPPED_TYPES = [
  'm.room.create',
  'm.room.join_rules',
  'm.room.canonical_alias',
  'm.room.avatar',
  'm.room.encryption',
  'm.room.name',
  'm.room.topic',
]

/** The types of state (with the empty state key) that invited and knocking users see. Option room_prejoin_state. */
export function strippedTypes(options: {
  readonly roomPrejoinState: { readonly additionalEventTypes: readonly { readonly type: string }[] }
}): readonly string[] {
  return [...STRIPPED_TYPES, ...options.roomPrejoinState.additionalEventTypes.map((event) => event.type)]
}
