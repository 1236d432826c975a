import { AgentError } from '../lib/errors.ts'

interface UntrustedDetails {
  /** As Node's own refusals have one. Default ERR_TLS_CERT_UNTRUSTED. */
  readonly code?: string
  /** As the certificate names its issuer: whoever sent it may have written anything there. */
  readonly issuer?: string | undefined
}

const longestIssuer = 80

/** The server is not who it should be. Nothing was sent to it. */
export class UntrustedServerError extends AgentError {
  override readonly name = 'UntrustedServerError'
  readonly code: string
  /** Printable and bounded. */
  readonly issuer: string | undefined
  /** What is wrong with it, and who has issued its certificate. */
  readonly why: string
  readonly #host: string
  readonly #reason: string

  constructor(host: string, reason: string, { code = 'ERR_TLS_CERT_UNTRUSTED', issuer }: UntrustedDetails = {}) {
    const shown = issuer === undefined ? undefined : printable(issuer)
    const by = shown === undefined ? '' : `, issued by ${JSON.stringify(shown)}`
    const why = `${reason}${by}`
    super(`the server that answers for ${host} is not trusted: ${why}`, {
      retryable: true,
      hint:
        'somebody may be in the middle who replaces certificates, or a root certificate is missing: have the network let ' +
        `connections to ${host} through as they are, and check identity.rootCa`,
    })
    this.code = code
    this.issuer = shown
    this.why = why
    this.#host = host
    this.#reason = reason
  }

  /** The same, with the issuer's name. */
  issuedBy(issuer: string | undefined): UntrustedServerError {
    return new UntrustedServerError(this.#host, this.#reason, { code: this.code, issuer })
  }
}

/** Whether a code says that a server's certificate was refused (Node's "TLS (SSL)", X.509 certificate error codes). */
export function isCertificateCode(code: string): boolean {
  return certificateCodes.test(code)
}

const certificateCodes =
  /^(CERT_|ERR_TLS_CERT|ERROR_IN_CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|PATH_LENGTH_EXCEEDED|INVALID_(CA|PURPOSE)|HOSTNAME_MISMATCH|UNSPECIFIED$)/

function printable(name: string): string {
  const text = name.replace(/[^\p{L}\p{M}\p{N}\p{P}\p{S}]+/gu, ' ').trim()
  return text.length > longestIssuer ? `${text.slice(0, longestIssuer)}...` : text
}
