import { createHmac } from 'node:crypto'
import type { TestClient } from './client.ts'
import type { TestServer } from './test-server.ts'

/** Makes the account `root`, an administrator, by the shared secret of the tests. */
export async function registerAdministrator(server: TestServer): Promise<TestClient> {
  const client = server.anonymous()
  const { nonce } = await client.get<{ nonce: string }>('/_synapse/admin/v1/register')
  const mac = createHmac('sha1', 'shared secret of the tests')
    .update([nonce, 'root', 'secret of root', 'admin'].join('\u0000'))
    .digest('hex')
  await client.post('/_synapse/admin/v1/register', { nonce, username: 'root', password: 'secret of root', admin: true, mac })
  return client.login('root', 'secret of root')
}
