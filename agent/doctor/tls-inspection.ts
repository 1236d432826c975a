import type { Endpoint } from './endpoint.ts'

/** Which roots vouch for a chain, its dates left aside. */
export interface Vouchers {
  /** Those of identity.rootCa. */
  readonly own: boolean
  /** Those that browsers trust, as Node has them. */
  readonly isPublic: boolean
  /** Those of the system's store, where an operator may have added some. */
  readonly system: boolean
}

/** Who answered for an endpoint. Names are what a certificate says, so whatever its maker liked. */
export type TlsInspection =
  /** No TCP connection, or it ended before TLS: Node's code. */
  | { readonly kind: 'unreachable'; readonly code: string }
  /** Something answered, but not with TLS. */
  | { readonly kind: 'no-tls'; readonly code: string }
  | {
      readonly kind: 'answered'
      readonly protocol: string
      readonly issuer: string
      readonly subject: string
      readonly namesHost: boolean
      readonly vouchers: Vouchers
      /** Of the whole chain where one could be built, else of the server's own certificate; milliseconds since 1970. */
      readonly notBeforeMs: number
      readonly notAfterMs: number
      /** What TLS itself says against it, in OpenSSL's words. */
      readonly code: string | undefined
      /** Of the answer to a HEAD request; none where none was sent, as to a server that is not trusted. */
      readonly http: { readonly status: number; readonly isHtml: boolean } | undefined
    }

/** Connects, looks at the certificate, and sends nothing to a server that is not trusted. Throws on abort and when time is up. */
export type InspectTls = (endpoint: Endpoint, signal: AbortSignal) => Promise<TlsInspection>
