import { startEmbeddedPostgres } from '../../src/process/embedded-postgres.ts'
import { createLogger } from '../../src/util/logger.ts'

// A process of its own that runs PostgreSQL, for tests that kill it. Usage: node postgres-supervisor.ts DIRECTORY
const postgres = await startEmbeddedPostgres({ dataDir: process.argv[2] ?? '', logger: createLogger() })
process.once('SIGTERM', () => void postgres.stop().then(() => process.exit(0)))
setInterval(() => undefined, 1000)
process.stdout.write(`${JSON.stringify({ pid: postgres.pid, connection: postgres.connection })}\n`)
