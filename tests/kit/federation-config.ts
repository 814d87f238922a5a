import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { testAuthority } from './test-authority.ts'

/** Options with which a server can talk to TestPeers and other TestServers, as `localhost:<port>`. */
export async function federationConfig(port: number): Promise<Record<string, unknown>> {
  const { caPath, localhost } = await testAuthority()
  return {
    server_name: `localhost:${port}`,
    public_baseurl: `https://localhost:${port}/`,
    tls_certificate_path: localhost.certPath,
    tls_private_key_path: localhost.keyPath,
    federation_custom_ca_list: [caPath],
    ip_range_blacklist: [],
    trusted_key_servers: [],
    // Tests do not wait: what fails is tried again quickly, and left alone for a second only.
    federation: {
      client_timeout: '10s',
      max_short_retries: 1,
      max_short_retry_delay: 50,
      destination_min_retry_interval: '1s',
    },
  }
}

/** Finds a port of 127.0.0.1 that nobody uses just now. */
export async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
