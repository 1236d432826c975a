import { X509Certificate } from 'node:crypto'
import { createSecureContext, getCACertificates, rootCertificates, type SecureContext } from 'node:tls'

/** Whom a connection trusts and, for mutual TLS, who it is itself. */
export interface Trust {
  /** Root certificates in PEM. Each string may hold several. */
  readonly roots: readonly string[]
  readonly secureContext: SecureContext
}

export interface TrustOptions {
  readonly roots: readonly string[]
  /** For mutual TLS, in PEM. */
  readonly certificate?: string
  readonly privateKey?: string
}

export function createTrust({ roots, certificate, privateKey }: TrustOptions): Trust {
  const secureContext = createSecureContext({
    ca: [...roots],
    minVersion: 'TLSv1.2',
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(privateKey === undefined ? {} : { key: privateKey }),
  })
  return { roots, secureContext }
}

export function rootCertificatesOf({ roots }: Pick<Trust, 'roots'>): readonly X509Certificate[] {
  return roots.flatMap(splitPem).map((pem) => new X509Certificate(pem))
}

/**
 * The trust for AWS service endpoints: the system's roots, Node's own, and the appliance's. `readRoots` answers the
 * appliance's in PEM, or an empty string while there are none; the costly store is built anew only when they change.
 */
export function createServiceTrust(readRoots: () => Promise<string>): () => Promise<Trust> {
  const built = new Map<string, Trust>()
  return async () => {
    const roots = await readRoots()
    const known = built.get(roots)
    if (known !== undefined) return known
    const own = splitPem(roots)
    const trust = createTrust({ roots: [...new Set([...getCACertificates('system'), ...rootCertificates, ...own])] })
    built.clear()
    built.set(roots, trust)
    return trust
  }
}

function splitPem(pem: string): readonly string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []
}
