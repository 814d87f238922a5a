import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { readUsage } from './processes.ts'

test('processor time of children counts for the server, that below the database process for the database', async () => {
  const burn = 'while (process.cpuUsage().user < 300_000); process.stdout.write("x"); setInterval(() => {}, 1000)'
  const child = spawn(process.execPath, ['-e', burn], { stdio: ['ignore', 'pipe', 'ignore'] })
  try {
    await once(child.stdout, 'data')
    const asServer = readUsage(child.pid ?? 0, -1)
    expect(asServer.serverCpuMs).toBeGreaterThanOrEqual(200)
    expect(asServer.serverMiB).toBeGreaterThan(5)
    expect(asServer.databaseCpuMs).toBe(0)
    const asDatabase = readUsage(process.pid, child.pid ?? 0)
    expect(asDatabase.databaseCpuMs).toBeGreaterThanOrEqual(200)
    expect(asDatabase.serverCpuMs).toBeGreaterThan(0)
  } finally {
    child.kill()
  }
})
