import { readFileSync } from 'node:fs'
import { createSecureContext, getCACertificates } from 'node:tls'
import type { SecureContext } from 'node:tls'
import type { FederationConfig } from '../../config/federation.ts'
import { compileStarGlob } from '../../util/glob.ts'
import { OperatorError } from '../../util/operator-error.ts'

type TlsOptions = Pick<
  FederationConfig,
  | 'federationVerifyCertificates'
  | 'federationCertificateVerificationWhitelist'
  | 'federationCustomCaList'
  | 'federationClientMinimumTlsVersion'
>

/** Whose certificates are believed, and for whom that is not asked. */
export interface FederationTls {
  /** Made when first needed: reading all authorities takes a while. */
  readonly secureContext: () => SecureContext
  /** Whether any certificate of this host will do. */
  readonly isCertificateIgnored: (hostname: string) => boolean
}

/**
 * Reads the TLS options of federation. `federation_custom_ca_list` stands instead of the authorities that the system and the
 * runtime know; globs of the whitelist cover host names. Throws OperatorError on files that are no certificates.
 */
export function makeFederationTls(options: TlsOptions): FederationTls {
  const custom = options.federationCustomCaList.map(readAuthority)
  const globs = options.federationCertificateVerificationWhitelist.map((glob) => compileStarGlob(glob.toLowerCase()))
  const minVersion = `TLSv${options.federationClientMinimumTlsVersion}` as const
  let context: SecureContext | undefined
  return {
    secureContext: () => (context ??= createSecureContext({ ca: custom.length > 0 ? custom : knownAuthorities(), minVersion })),
    isCertificateIgnored: (hostname) =>
      !options.federationVerifyCertificates || globs.some((glob) => glob.matches(hostname.toLowerCase())),
  }
}

/** Whose certificates are believed outside of federation: what the system knows, and the authorities of `federation_custom_ca_list` besides. */
export function makeWebTls(options: Pick<TlsOptions, 'federationCustomCaList'>): () => SecureContext {
  const custom = options.federationCustomCaList.map(readAuthority)
  let context: SecureContext | undefined
  return () => (context ??= createSecureContext({ ca: [...knownAuthorities(), ...custom], minVersion: 'TLSv1.2' }))
}

function readAuthority(path: string): string {
  try {
    const text = readFileSync(path, 'utf8')
    createSecureContext({ ca: text })
    if (!text.includes('-----BEGIN CERTIFICATE-----')) throw new Error('there is no certificate in it')
    return text
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new OperatorError(`federation_custom_ca_list: cannot use ${path}: ${reason}`, { cause })
  }
}

/** Those of the runtime, and those that the administrator added to the system. */
function knownAuthorities(): string[] {
  return [...new Set([...getCACertificates('default'), ...getCACertificates('system')])]
}
