import type { EventsWriter } from '../services/events/event-intent.ts'
import { BACKGROUND_JOBS, BackgroundUpdates } from '../services/purge/background-updates.ts'
import { BlockedRooms, DELETE_ACTIONS } from '../services/purge/blocked-rooms.ts'
import { HistoryPurges, PURGE_HISTORY } from '../services/purge/history-purges.ts'
import { Retention } from '../services/purge/retention.ts'
import { RoomDeletions } from '../services/purge/room-deletions.ts'
import { ScheduledTasks } from '../services/purge/scheduled-tasks.ts'
import { TaskRunner } from '../services/purge/task-runner.ts'
import { REDACT_EVENTS, UserRedactions } from '../services/purge/user-redactions.ts'
import { AdminRooms } from '../services/rooms/admin-rooms.ts'
import { RoomPromotion } from '../services/rooms/room-promotion.ts'
import { RoomPurges } from '../streams/room-purges.ts'
import type { AccountServices } from './assemble-accounts.ts'
import type { Cluster } from './assemble-cluster.ts'
import type { Core } from './assemble-core.ts'
import type { RoomDirectoryServices } from './assemble-room-directory.ts'
import type { RoomWritingServices } from './assemble-room-writing.ts'
import type { UserDataServices } from './assemble-user-data.ts'

/** What administrators do to rooms, and what takes old things away. */
export interface PurgingServices {
  readonly scheduledTasks: ScheduledTasks
  readonly backgroundUpdates: BackgroundUpdates
  readonly blockedRooms: BlockedRooms
  readonly historyPurges: HistoryPurges
  readonly roomDeletions: RoomDeletions
  readonly adminRooms: AdminRooms
  readonly roomPromotion: RoomPromotion
  readonly userRedactions: UserRedactions
}

interface PurgingDeps {
  readonly cluster: Cluster
  readonly accounts: AccountServices
  readonly directory: RoomDirectoryServices
  readonly writing: RoomWritingServices
  readonly userData: UserDataServices
  readonly writer: EventsWriter
}

/** Wires tasks that outlive requests, and those that may ask for them. */
export function assemblePurging(core: Core, deps: PurgingDeps): PurgingServices {
  const { config, database, clock, hub, memberships, serverName } = core
  const { cluster, accounts, directory, writing, writer } = deps
  const logger = core.logger.child('tasks')
  const { caches } = accounts
  const purges = new RoomPurges({ caches, hub })
  const tasks = new ScheduledTasks({ database, clock, random: core.random, transport: cluster.transport })
  const blockedRooms = new BlockedRooms({ database })
  const historyPurges = new HistoryPurges({ database, tasks, memberships, purges, serverName })
  const roomDeletions = new RoomDeletions({
    database,
    tasks,
    blocked: blockedRooms,
    memberships,
    changes: writing.membershipChanges,
    creation: writing.roomCreation,
    writer,
    aliases: directory.roomAliases,
    purges,
    clock,
    logger,
    serverName,
  })
  const backgroundUpdates = new BackgroundUpdates({
    database,
    tasks,
    caches,
    clock,
    rebuildDirectory: () => deps.userData.userDirectory.rebuild(),
  })
  const runner = new TaskRunner({
    database,
    tasks,
    clock,
    logger,
    async waiting() {
      return (await backgroundUpdates.isEnabled()) ? [] : BACKGROUND_JOBS
    },
  })
  runner.register(PURGE_HISTORY, (task) => historyPurges.run(task))
  runner.register(DELETE_ACTIONS[0], (task) => roomDeletions.run(task))
  runner.register(DELETE_ACTIONS[1], (task) => roomDeletions.runForgotten(task))
  const userRedactions = new UserRedactions({ database, tasks, events: writing.eventCreator, serverName })
  runner.register(REDACT_EVENTS, (task) => userRedactions.run(task))
  for (const action of BACKGROUND_JOBS) runner.register(action, () => backgroundUpdates.run(action))
  cluster.addRole('task_scheduler', { start: (lease) => runner.start(lease), stop: () => runner.stop() })
  const retention = new Retention({ database, hub, clock, logger, purges: historyPurges, options: config.rooms.retention })
  cluster.addRole(
    'retention',
    { start: (lease) => retention.start(lease), stop: () => retention.stop() },
    { placedAs: 'background_tasks' },
  )
  deleteForgottenRooms(core, roomDeletions)
  return {
    userRedactions,
    scheduledTasks: tasks,
    backgroundUpdates,
    blockedRooms,
    historyPurges,
    roomDeletions,
    adminRooms: new AdminRooms({ database, memberships, purges, serverName }),
    roomPromotion: new RoomPromotion({
      memberships,
      slots: directory.roomSlots,
      changes: writing.membershipChanges,
      writer,
      serverName,
    }),
  }
}

function deleteForgottenRooms({ config, memberships, background }: Core, roomDeletions: RoomDeletions): void {
  const { forgottenRoomRetentionPeriodMs: keptMs } = config.rooms
  if (keptMs !== undefined) {
    memberships.setForgottenListener((roomId) =>
      background.run('delete_forgotten_room', () => roomDeletions.deleteForgotten(roomId, keptMs)),
    )
  }
}
