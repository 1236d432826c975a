import type { X509Certificate } from 'node:crypto'
import type { Readable } from 'node:stream'

import type { PolicyDocument } from './iam/policy-document.ts'

/** One request as a service sees it: TLS is done, nothing is authorised yet. */
export interface CloudRequest {
  readonly id: string
  readonly method: string
  /** The Host header, lower case, without its port. */
  readonly host: string
  /** The path exactly as it came, still percent-encoded, without the query. */
  readonly rawPath: string
  readonly query: URLSearchParams
  /** The query exactly as it came, without its question mark. */
  readonly rawQuery: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** As it came over the wire: still compressed when content-encoding says so. At most 4 MiB, for S3 64 MiB. */
  readonly body: Uint8Array
  readonly clientCertificate: X509Certificate | undefined
}

export interface CloudResponse {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array | Readable
}

/** Who signed a request, as found by its access key and session token. */
export interface Caller {
  /** `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION` */
  readonly arn: string
  readonly roleArn: string
  readonly account: string
  /** The identity policies of the role. */
  readonly policies: readonly PolicyDocument[]
  /** Policy variables that the session carries, such as `credentials-iot:ThingName`. Gone after role chaining. */
  readonly context: Readonly<Record<string, string>>
}

export interface ServiceContext {
  readonly account: string
  readonly region: string
  /** The cloud's own time in milliseconds since 1970. */
  readonly now: () => number
  /** The caller behind the request's signature, already verified. */
  readonly caller: Caller
}

/** What a service throws to refuse a request; each protocol gives it its own shape. */
export class ServiceFault extends Error {
  override readonly name = 'ServiceFault'
  readonly status: number
  readonly code: string
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message)
    this.status = status
    this.code = code
    this.headers = headers
  }
}

/** One signed AWS service of the local cloud. The frame verifies SigV4 and finds the caller before `handle` runs. */
export interface CloudService {
  /** As in the credential scope: s3, logs, secretsmanager, sts. */
  readonly name: string
  /** Whether requests to this host name (no port) are for this service. */
  readonly serves: (host: string) => boolean
  /** The API action of a request, for records, quotas and faults: "GetObject", "PutLogEvents". */
  readonly actionOf: (request: CloudRequest) => string
  /** Throws a ServiceFault to refuse. Authorises by itself, because only it knows action, resource and conditions. */
  readonly handle: (request: CloudRequest, context: ServiceContext) => Promise<CloudResponse>
  /** The protocol's shape of a refusal. */
  readonly formatFault: (fault: ServiceFault, request: CloudRequest) => CloudResponse
}
