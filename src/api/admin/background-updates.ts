import { Type } from '../../util/schema.ts'
import { clientEndpoint } from '../client/client-endpoint.ts'

const PATH = '/_synapse/admin/v1/background_updates'
/** Synapse may have several databases; its documentation calls the usual one so. */
const DATABASE = 'master'

/** Tells which long changes of the database run. Errors: M_FORBIDDEN. As Synapse: Background Updates API. */
export const getBackgroundUpdates = clientEndpoint({
  operationId: 'admin.getBackgroundUpdates',
  method: 'GET',
  path: `${PATH}/status`,
  group: 'admin',
  auth: 'admin',
  async handler(_input, ctx) {
    const [running] = await ctx.backgroundUpdates.getRunning()
    const current = running && {
      name: running.name,
      total_item_count: 0,
      total_duration_ms: running.durationMs,
      average_items_per_ms: null,
    }
    return { enabled: await ctx.backgroundUpdates.isEnabled(), current_updates: current ? { [DATABASE]: current } : {} }
  },
})

/** Tells whether long changes of the database may begin. Errors: M_FORBIDDEN. As Synapse. */
export const getBackgroundUpdatesEnabled = clientEndpoint({
  operationId: 'admin.getBackgroundUpdatesEnabled',
  method: 'GET',
  path: `${PATH}/enabled`,
  group: 'admin',
  auth: 'admin',
  async handler(_input, ctx) {
    return { enabled: await ctx.backgroundUpdates.isEnabled() }
  },
})

/** Lets long changes of the database begin, or keeps them waiting, on all processes and over restarts. Errors: M_FORBIDDEN, M_BAD_JSON. As Synapse. */
export const setBackgroundUpdatesEnabled = clientEndpoint({
  operationId: 'admin.setBackgroundUpdatesEnabled',
  method: 'POST',
  path: `${PATH}/enabled`,
  group: 'admin',
  auth: 'admin',
  body: Type.Object({ enabled: Type.Boolean() }),
  async handler({ body: { enabled } }, ctx) {
    await ctx.backgroundUpdates.setEnabled(enabled)
    return { enabled }
  },
})

/** Asks for a job. Errors: M_FORBIDDEN, M_UNKNOWN, M_BAD_JSON. As Synapse. */
export const startBackgroundJob = clientEndpoint({
  operationId: 'admin.startBackgroundJob',
  method: 'POST',
  path: `${PATH}/start_job`,
  group: 'admin',
  auth: 'admin',
  body: Type.Object({ job_name: Type.String() }),
  async handler({ body }, ctx) {
    await ctx.backgroundUpdates.begin(body.job_name)
    return {}
  },
})
