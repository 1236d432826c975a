import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'

import type { Validity } from '../credentials/server-clock.ts'
import { UntrustedServerError } from './untrusted-server.ts'

export interface PresentedChain {
  readonly host: string
  /** DER, the server's own certificate first, then in any order what it sent along. */
  readonly certificates: readonly Uint8Array[]
  readonly roots: readonly X509Certificate[]
}

const longestChain = 6
const serverAuth = '1.3.6.1.5.5.7.3.1'
const basicConstraints = '2.5.29.19'

/**
 * Checks everything about a server's certificate but today's date, as RFC 5280 (section 6.1) has it: a chain of
 * signatures up to one of the roots, CA flag and path length of every issuer, no critical extension that is not
 * understood, server authentication as purpose, and the host name. Needed when the system clock is so wrong that TLS
 * itself refuses every server. Throws an UntrustedServerError when the server is not who it should be.
 */
export async function verifyChainIgnoringDates({ host, certificates, roots }: PresentedChain): Promise<Validity> {
  const [leaf, ...sent] = certificates.map((der) => new X509Certificate(der))
  if (leaf === undefined) throw untrusted(host, 'it sent no certificate')
  if (!isFor(leaf, host)) throw untrusted(host, 'its certificate is for another name')
  if (!isForServers(leaf)) throw untrusted(host, 'its certificate is not meant for servers')
  const chain = buildChain({ host, leaf, sent, roots })
  for (const [index, certificate] of chain.entries()) await checkExtensions(host, certificate, index)
  return {
    notBeforeMs: Math.max(...chain.map(({ validFromDate }) => validFromDate.getTime())),
    notAfterMs: Math.min(...chain.map(({ validToDate }) => validToDate.getTime())),
  }
}

function isFor(leaf: X509Certificate, host: string): boolean {
  return (isIP(host) === 0 ? leaf.checkHost(host) : leaf.checkIP(host)) !== undefined
}

/** Without an extended key usage a certificate serves any purpose (RFC 5280, section 4.2.1.12). */
function isForServers(leaf: X509Certificate): boolean {
  const purposes = leaf.keyUsage as readonly string[] | undefined // Node's types leave the case without the extension out
  return purposes?.includes(serverAuth) ?? true
}

interface ChainParts {
  readonly host: string
  readonly leaf: X509Certificate
  readonly sent: readonly X509Certificate[]
  readonly roots: readonly X509Certificate[]
}

function buildChain({ host, leaf, sent, roots }: ChainParts): readonly X509Certificate[] {
  const chain = [leaf]
  for (let last = leaf; chain.length <= longestChain;) {
    const subject = last
    if (roots.some((root) => root.raw.equals(subject.raw))) return chain
    const root = roots.find((candidate) => isIssuedBy(subject, candidate))
    if (root !== undefined) return [...chain, root]
    const issuer = sent.find((candidate) => !chain.includes(candidate) && isIssuedBy(subject, candidate))
    if (issuer === undefined) throw untrusted(host, 'no trusted root has issued its certificate')
    chain.push(issuer)
    last = issuer
  }
  throw untrusted(host, 'its chain of certificates is too long')
}

function isIssuedBy(subject: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey)
}

/** `below` is the number of certificates under this one; the server's own does not count against a path length. */
async function checkExtensions(host: string, certificate: X509Certificate, below: number): Promise<void> {
  const { X509Certificate: Parsed, BasicConstraintsExtension } = await loadParser()
  const { extensions } = new Parsed(certificate.raw)
  const unknown = extensions.find(({ critical, type }) => critical && !understood.has(type))
  if (unknown !== undefined) throw untrusted(host, `a certificate has the critical extension ${unknown.type}`)
  const constraints = extensions.find((extension) => extension instanceof BasicConstraintsExtension)
  if (below > 0 && constraints?.pathLength !== undefined && below - 1 > constraints.pathLength) {
    throw untrusted(host, 'its chain is longer than an issuer allows')
  }
}

/** Basic constraints, key usage, extended key usage, subject alternative name, certificate policies. */
const understood = new Set([basicConstraints, '2.5.29.15', '2.5.29.37', '2.5.29.17', '2.5.29.32'])

/** Loaded only when it is needed, because a wrong clock is rare and every megabyte on an appliance counts. */
async function loadParser() {
  await import('reflect-metadata')
  return await import('@peculiar/x509')
}

function untrusted(host: string, reason: string): UntrustedServerError {
  return new UntrustedServerError(host, reason)
}
