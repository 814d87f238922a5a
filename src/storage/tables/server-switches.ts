import type { Queryable } from '../database.ts'

/** Table server_switches: what administrators turn while the server runs. Schema: migrations/0035-purging.sql. */

/** Reads a switch; on where nobody turned it. */
export async function getSwitch(tx: Queryable, name: string): Promise<boolean> {
  const [row] = await tx.query<{ isOn: boolean }>('get_switch', `SELECT is_on AS "isOn" FROM server_switches WHERE name = $1`, [
    name,
  ])
  return row?.isOn ?? true
}

/** Turns a switch. */
export async function setSwitch(tx: Queryable, name: string, isOn: boolean): Promise<void> {
  await tx.query(
    'set_switch',
    `INSERT INTO server_switches (name, is_on) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET is_on = EXCLUDED.is_on`,
    [name, isOn],
  )
}
