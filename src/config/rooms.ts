import {
  checked,
  choice,
  decimal,
  flag,
  group,
  groupList,
  optionalDuration,
  optionalText,
  plainObject,
  section,
  text,
  textList,
  withDefault,
} from './option.ts'
import { isLocatedList } from './located.ts'
import type { Option, Values } from './option.ts'
import type { MapReader } from './reader.ts'

const ROOM_VERSIONS = ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11', '12']
const PRESETS = ['private_chat', 'trusted_private_chat', 'public_chat']

/** One rule: patterns with `*` and `?`; the first that fits decides. */
export interface DirectoryRule {
  readonly userId: string
  readonly alias: string
  readonly roomId: string
  readonly action: 'allow' | 'deny'
}

const RULE_TABLE = {
  userId: text('user_id', '*', 'Pattern of the user.'),
  alias: text('alias', '*', 'Pattern of the alias.'),
  roomId: text('room_id', '*', 'Pattern of the room.'),
  action: choice('action', ['allow', 'deny'], 'allow', 'What happens.'),
}

/** Rules default to one "allow everything", but an empty list allows nothing, as in Synapse. */
function ruleList(name: string, doc: string, fallback: readonly DirectoryRule[]): Option<readonly DirectoryRule[]> {
  return groupList(name, RULE_TABLE, doc, fallback)
}
const ALLOW_ALL: readonly DirectoryRule[] = [{ userId: '*', alias: '*', roomId: '*', action: 'allow' }]
const DENY_ALL: readonly DirectoryRule[] = [{ userId: '*', alias: '*', roomId: '*', action: 'deny' }]

const defaultRoomVersion: Option<string> = withDefault(
  {
    name: 'default_room_version',
    type: 'string',
    parse: ({ value }) =>
      ROOM_VERSIONS.includes(String(value)) ? { ok: String(value) } : { expected: `one of ${ROOM_VERSIONS.join(', ')}` },
    doc: 'Version of new rooms.',
    defaultText: '"12"',
  },
  '12',
)

/** One kind of state that people see of a room before they join: all events of a type, or the one with a state key. */
export interface PrejoinEventType {
  readonly type: string
  readonly stateKey: string | undefined
}

const additionalEventTypes: Option<readonly PrejoinEventType[]> = {
  name: 'additional_event_types',
  type: 'list of types, or of [type, state key]',
  defaultText: '[]',
  doc: 'Further state that is shown.',
  read(reader: MapReader): readonly PrejoinEventType[] {
    const node = reader.get('additional_event_types')
    if (!node || node.value === null) return []
    const items = isLocatedList(node.value) ? node.value : [node]
    return items.flatMap((item): PrejoinEventType[] => {
      if (typeof item.value === 'string') return [{ type: item.value, stateKey: undefined }]
      const pair = isLocatedList(item.value) ? item.value.map((part) => part.value) : []
      const [type, stateKey] = pair
      if (pair.length === 2 && typeof type === 'string' && typeof stateKey === 'string') return [{ type, stateKey }]
      reader.problem(item.place, 'additional_event_types', 'expected an event type, or a list of an event type and a state key')
      return []
    })
  },
}

/** Rooms, their directory, and what is kept of them. */
export const roomsOptions = section('Rooms', {
  defaultRoomVersion,
  encryptionEnabledByDefaultForRoomType: choice(
    'encryption_enabled_by_default_for_room_type',
    ['all', 'invite', 'off'],
    'off',
    'New rooms that are encrypted from the start: all, invite-only ones, none.',
  ),
  defaultPowerLevelContentOverride: checked(
    plainObject(
      'default_power_level_content_override',
      'For each preset, fields of `m.room.power_levels` that new rooms have instead.',
    ),
    (value) => {
      const odd = Object.keys(value).find((preset) => !PRESETS.includes(preset))
      return odd === undefined ? undefined : `there is no preset ${JSON.stringify(odd)}; known are ${PRESETS.join(', ')}`
    },
  ),
  forgetRoomsOnLeave: flag('forget_rooms_on_leave', false, 'Forgets a room when its user leaves.'),
  forgottenRoomRetentionPeriodMs: optionalDuration(
    'forgotten_room_retention_period',
    undefined,
    'Deletes a room when all our users forgot it this long ago.',
  ),
  excludeRoomsFromSync: textList('exclude_rooms_from_sync', [], 'Rooms that nobody sees in `/sync`.'),
  excludeRoomsFromPresence: textList('exclude_rooms_from_presence', [], 'Rooms that do not count as shared for presence.'),
  enableRoomListSearch: flag(
    'enable_room_list_search',
    true,
    'Answers searches of the room directory; otherwise it looks empty.',
  ),
  aliasCreationRules: ruleList('alias_creation_rules', 'Who may make which alias; everyone every one by default.', ALLOW_ALL),
  roomListPublicationRules: ruleList(
    'room_list_publication_rules',
    'Who may publish which room in the directory; nobody by default.',
    DENY_ALL,
  ),
  requireMembershipForAliases: flag('require_membership_for_aliases', true, 'Only members may give a room an alias.'),
  allowPublicRoomsWithoutAuth: flag(
    'allow_public_rooms_without_auth',
    false,
    'Shows the room directory without an access token.',
  ),
  allowPublicRoomsOverFederation: flag('allow_public_rooms_over_federation', false, 'Shows the room directory to other servers.'),
  allowPerRoomProfiles: flag('allow_per_room_profiles', true, 'Lets people have another name in a room.'),
  blockNonAdminInvites: flag('block_non_admin_invites', false, 'Only administrators may invite.'),
  requireAuthForProfileRequests: flag('require_auth_for_profile_requests', false, 'Shows profiles only to logged-in users.'),
  limitProfileRequestsToUsersWhoShareRooms: flag(
    'limit_profile_requests_to_users_who_share_rooms',
    false,
    'Shows profiles only to users who share a room.',
  ),
  includeProfileDataOnInvite: flag(
    'include_profile_data_on_invite',
    true,
    'An invite shows the name and avatar of who is invited.',
  ),
  roomPrejoinState: group(
    'room_prejoin_state',
    {
      disableDefaultEventTypes: flag('disable_default_event_types', false, 'Leaves out what the spec recommends.'),
      additionalEventTypes,
    },
    'What people see of a room that they are invited to or knock on.',
  ),
  redactionRetentionPeriodMs: optionalDuration(
    'redaction_retention_period',
    '7d',
    'How long the content of a redacted event is kept for administrators; null for ever.',
  ),
  retention: group(
    'retention',
    {
      enabled: flag('enabled', false, 'Deletes old messages.'),
      defaultPolicy: group(
        'default_policy',
        {
          minLifetimeMs: optionalDuration('min_lifetime', undefined, 'Messages live at least this long.'),
          maxLifetimeMs: optionalDuration('max_lifetime', undefined, 'Messages live at most this long.'),
        },
        'For rooms without `m.room.retention`.',
      ),
      allowedLifetimeMinMs: optionalDuration('allowed_lifetime_min', undefined, 'Shortest lifetime that a room may choose.'),
      allowedLifetimeMaxMs: optionalDuration('allowed_lifetime_max', undefined, 'Longest lifetime that a room may choose.'),
      purgeJobs: groupList(
        'purge_jobs',
        {
          shortestMaxLifetimeMs: optionalDuration(
            'shortest_max_lifetime',
            undefined,
            'Rooms whose messages live longer than this …',
          ),
          longestMaxLifetimeMs: optionalDuration('longest_max_lifetime', undefined, '… and at most this long …'),
          intervalMs: optionalDuration('interval', '1d', '… are looked at this often.'),
        },
        'How often old messages are deleted; daily by default.',
      ),
    },
    'Message retention.',
  ),
  serverNotices: group(
    'server_notices',
    {
      systemMxidLocalpart: optionalText(
        'system_mxid_localpart',
        'Local part of the account that writes them; without it there are none.',
      ),
      systemMxidDisplayName: optionalText('system_mxid_display_name', 'Its display name.'),
      systemMxidAvatarUrl: optionalText('system_mxid_avatar_url', 'Its avatar.'),
      roomName: text('room_name', 'Server Notices', 'Name of the rooms in which users get them.'),
      roomAvatarUrl: optionalText('room_avatar_url', 'Avatar of these rooms.'),
      roomTopic: optionalText('room_topic', 'Topic of these rooms.'),
      autoJoin: flag('auto_join', false, 'Users are joined to their room instead of invited.'),
    },
    'Messages of the server to its users.',
  ),
  limitRemoteRooms: group(
    'limit_remote_rooms',
    {
      enabled: flag('enabled', false, 'Refuses joins of big rooms of other servers.'),
      complexity: decimal('complexity', 1, 'Complexity from which on they are refused.'),
      complexityError: text(
        'complexity_error',
        'This room is too big or complex for this server. Please speak to your server administrator.',
        'What the user is told.',
      ),
      adminsCanJoin: flag('admins_can_join', false, 'Administrators may join nonetheless.'),
    },
    'Big rooms.',
  ),
  autoAcceptInvites: group(
    'auto_accept_invites',
    {
      enabled: flag('enabled', false, 'Joins our users to rooms that they are invited to.'),
      onlyForDirectMessages: flag('only_for_direct_messages', false, 'Only for direct chats.'),
      onlyFromLocalUsers: flag('only_from_local_users', false, 'Only when a user of this server invites.'),
      workerToRunOn: optionalText('worker_to_run_on', 'The worker that does it.'),
    },
    'Accepting invites by itself.',
  ),
})
export type RoomsConfig = Values<typeof roomsOptions.options>
