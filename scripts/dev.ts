import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { ROOT } from './check/run.ts'

// `npm run dev`: one server with a throw-away database that starts anew when a file changes, and two users with their tokens.

const PORT = process.env['PORT'] ?? '8008'
const directory = mkdtempSync(join(tmpdir(), 'ganglion-dev-'))
const config = join(directory, 'homeserver.yaml')
const free = { per_second: 1000, burst_count: 1000 }
writeFileSync(
  config,
  // YAML reads JSON as it is.
  JSON.stringify({
    server_name: 'localhost',
    public_baseurl: `http://localhost:${PORT}/`,
    listeners: [
      { port: Number(PORT), type: 'http', bind_addresses: ['127.0.0.1'], resources: [{ names: ['client', 'federation'] }] },
    ],
    database: { name: 'embedded', data_directory: join(directory, 'postgresql') },
    media_store_path: join(directory, 'media'),
    enable_registration: true,
    enable_registration_without_verification: true,
    registration_shared_secret: 'dev',
    macaroon_secret_key: 'dev',
    form_secret: 'dev',
    bcrypt_rounds: 4,
    rc_message: free,
    rc_registration: free,
    rc_login: { address: free, account: free, failed_attempts: free },
  }),
)

const child = spawn(
  process.execPath,
  ['--watch', '--watch-preserve-output', join(ROOT, 'src', 'cli', 'main.ts'), 'homeserver', '-c', config],
  {
    stdio: ['inherit', 'pipe', 'inherit'],
  },
)
let hasUsers = false
createInterface(child.stdout).on('line', (line) => {
  process.stdout.write(`${line}\n`)
  if (!hasUsers && line.startsWith('listening on ')) {
    hasUsers = true
    void registerUsers(line.slice('listening on '.length))
  }
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
child.on('exit', (status) => {
  rmSync(directory, { recursive: true, force: true })
  process.exit(status ?? 0)
})

async function registerUsers(url: string): Promise<void> {
  for (const username of ['alice', 'bob']) {
    const response = await fetch(`${url}/_matrix/client/v3/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username, password: username, auth: { type: 'm.login.dummy' } }),
    })
    const answer = (await response.json()) as Record<string, unknown>
    process.stdout.write(`${String(answer['user_id'])}  password ${username}  token ${String(answer['access_token'])}\n`)
  }
}
