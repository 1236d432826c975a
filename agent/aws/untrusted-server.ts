import { AgentError } from '../lib/errors.ts'

/** The server is not who it should be. Nothing was sent to it. Carries a code as Node's own refusals do. */
export class UntrustedServerError extends AgentError {
  override readonly name = 'UntrustedServerError'
  readonly code = 'ERR_TLS_CERT_UNTRUSTED'

  constructor(host: string, reason: string) {
    super(`the server that answers for ${host} is not trusted: ${reason}`, {
      retryable: true,
      hint: 'somebody may be in the middle, or a root certificate is missing: check the network and identity.rootCa',
    })
  }
}

/** Whether a code says that a server's certificate was refused (Node's "TLS (SSL)", X.509 certificate error codes). */
export function isCertificateCode(code: string): boolean {
  return certificateCodes.test(code)
}

const certificateCodes =
  /^(CERT_|ERR_TLS_CERT|ERROR_IN_CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|PATH_LENGTH_EXCEEDED|INVALID_(CA|PURPOSE)|HOSTNAME_MISMATCH|UNSPECIFIED$)/
