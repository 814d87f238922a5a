import { execFile } from 'node:child_process'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'] as const

/** A certificate with its private key, as files and as text. */
export interface TestCertificate {
  readonly certPath: string
  readonly keyPath: string
  readonly cert: string
  readonly key: string
}

/** A certificate authority of the tests, with a certificate for `localhost`, 127.0.0.1 and ::1. */
export interface TestAuthority {
  /** The file for `federation_custom_ca_list`. */
  readonly caPath: string
  readonly ca: string
  readonly localhost: TestCertificate
  /** Signs a certificate for other names (`DNS:example.org,IP:10.0.0.1`). */
  issue(subjectAltName: string): Promise<TestCertificate>
}

let shared: Promise<TestAuthority> | undefined

/** The authority that all tests of this process share. */
export function testAuthority(): Promise<TestAuthority> {
  return (shared ??= makeAuthority())
}

/** Makes an authority that nobody else knows. */
export async function makeAuthority(): Promise<TestAuthority> {
  const directory = await mkdtemp(join(tmpdir(), 'ganglion-test-ca-'))
  const file = (name: string): string => join(directory, name)
  const extensions = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign']
  const subject = ['-subj', '/CN=Ganglion test authority', '-days', '30', '-keyout', file('ca.key'), '-out', file('ca.pem')]
  await run('openssl', ['req', '-x509', ...EC, ...subject, ...extensions])
  let count = 0
  const issue = async (subjectAltName: string): Promise<TestCertificate> => {
    const name = `peer${++count}`
    const [keyPath, certPath, requestPath] = [file(`${name}.key`), file(`${name}.pem`), file(`${name}.csr`)]
    await writeFile(file(`${name}.ext`), `subjectAltName=${subjectAltName}\nbasicConstraints=CA:FALSE\n`)
    await run('openssl', ['req', '-new', ...EC, '-subj', '/CN=peer', '-keyout', keyPath, '-out', requestPath])
    const signer = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-set_serial', String(count)]
    const options = ['-days', '30', '-extfile', file(`${name}.ext`)]
    await run('openssl', ['x509', '-req', '-in', requestPath, '-out', certPath, ...signer, ...options])
    return { keyPath, certPath, key: await readFile(keyPath, 'utf8'), cert: await readFile(certPath, 'utf8') }
  }
  return {
    caPath: file('ca.pem'),
    ca: await readFile(file('ca.pem'), 'utf8'),
    localhost: await issue('DNS:localhost,IP:127.0.0.1,IP:::1'),
    issue,
  }
}
