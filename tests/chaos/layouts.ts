import { FULL_LAYOUT, SMALL_LAYOUT } from '../kit/cluster-layout.ts'
import type { Layout } from '../kit/cluster-layout.ts'

const GENERIC = 'synapse.app.generic_worker'
const STREAMS_OF_ONE = ['typing', 'to_device', 'account_data', 'receipts', 'presence', 'push_rules', 'device_lists']

const FIVE_LAYOUT: Layout = {
  workers: [
    { name: 'generic1', app: GENERIC, resources: ['client', 'federation', 'media'] },
    { name: 'streams1', app: GENERIC, resources: ['client'] },
    { name: 'background1', app: GENERIC, resources: [] },
    { name: 'persister1', app: GENERIC, resources: [] },
  ],
  shared: {
    stream_writers: { events: ['persister1'], ...Object.fromEntries(STREAMS_OF_ONE.map((stream) => [stream, 'streams1'])) },
    run_background_tasks_on: 'background1',
    update_user_directory_from_worker: 'background1',
  },
}

/** The full layout with a third event persister: eleven processes. */
const FULL_WITH_THREE: Layout = {
  workers: [...FULL_LAYOUT.workers, { name: 'persister3', app: GENERIC, resources: [] }],
  shared: {
    ...FULL_LAYOUT.shared,
    stream_writers: {
      ...(FULL_LAYOUT.shared['stream_writers'] as Record<string, unknown>),
      events: ['persister1', 'persister2', 'persister3'],
    },
  },
}

/** What a fault run may run on. */
export const LAYOUTS = {
  monolith: { workers: [], shared: {} } satisfies Layout,
  small: SMALL_LAYOUT,
  five: FIVE_LAYOUT,
  full: FULL_WITH_THREE,
} as const satisfies Readonly<Record<string, Layout>>

export type LayoutName = keyof typeof LAYOUTS

/** A process that holds roles beside writing events: who stops there stops more than its own clients. */
export const ROLE_HOLDERS: Readonly<Record<LayoutName, readonly string[]>> = {
  monolith: ['main'],
  small: ['main', 'generic1'],
  five: ['streams1', 'background1'],
  full: ['streams1', 'background1', 'pusher1', 'sender1'],
}
